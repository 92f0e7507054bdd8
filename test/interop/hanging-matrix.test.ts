/**
 * File systems that hang or crawl, by what is asked of them: it waits, or fails as documented, and is done in the end. A
 * device elsewhere and the control API answer throughout. (Attached devices, and a disk of 1 MB/s: test/vm.)
 */
import { readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { Cmd, CmdFlag } from '../../server/wire/constants.js';
import { Daemon } from '../helpers/daemon.js';
import { Freezable } from '../helpers/freezable.js';
import { FuseMount, skipWithoutFuse } from '../helpers/fuse/fuse-mount.js';
import { skipWithoutKernelLoop } from '../helpers/kernel-loop.js';
import { MixedSession } from '../helpers/mixed-session.js';
import { makeRandomFile, TempDir } from '../helpers/temp.js';
import { skipUnless } from '../helpers/tools.js';
import type { Ask } from '../helpers/transmission-client.js';
import { until } from '../helpers/until.js';

t.setTimeout(240_000);
const MIB = 1 << 20;
const SIZE = 12 * MIB;
/** What half of the answers must be faster than, and all of them, on a machine that is busy; idle it is far below 100 ms. */
const USUAL = 1000;
const MOST = 5000;
/** So long every operation is looked at while the file system hangs. */
const WHILE_MS = 1500;

/** A file system that is well until `hang`. */
interface Fragile extends AsyncDisposable {
  file(name: string): string;
  hang(): Promise<void>;
  goOn(): Promise<void>;
}

async function frozen(): Promise<Fragile> {
  const freezable = await Freezable.make();
  return {
    file: (name) => makeRandomFile(`${dirname(freezable.file)}/${name}`, SIZE),
    hang: () => freezable.hang(),
    goOn: () => freezable.goOn(),
    [Symbol.asyncDispose]: () => freezable[Symbol.asyncDispose](),
  };
}

async function fuse(hang: (mount: FuseMount) => void, goOn: (mount: FuseMount) => void): Promise<Fragile> {
  const mount = await FuseMount.mount();
  return {
    file: (name) => {
      makeRandomFile(mount.real(name), SIZE);
      return mount.file(name);
    },
    hang: async () => hang(mount),
    goOn: async () => goOn(mount),
    [Symbol.asyncDispose]: () => mount[Symbol.asyncDispose](),
  };
}

const stopped = (): Promise<Fragile> =>
  fuse(
    (mount) => mount.hang(),
    (mount) => mount.goOn(),
  );

const slow = (): Promise<Fragile> => {
  const kinds = ['getattr', 'open', 'read', 'write', 'fsync', 'fallocate', 'lseek', 'lock'] as const;
  const delay = Object.fromEntries(kinds.map((kind) => [kind, 50]));
  return fuse(
    (mount) => mount.set({ delay }),
    (mount) => mount.set({}),
  );
};

const at = { offset: 2 * MIB, length: 64 << 10 };
const payload = Buffer.alloc(64 << 10, 7);
/** Requests of sessions of one device. */
const REQUESTS: Readonly<Record<string, Ask>> = {
  read: { type: Cmd.READ, ...at },
  write: { type: Cmd.WRITE, offset: 0, payload },
  'FUA write': { type: Cmd.WRITE, flags: CmdFlag.FUA, offset: MIB, payload },
  flush: { type: Cmd.FLUSH },
  trim: { type: Cmd.TRIM, offset: 8 * MIB, length: MIB },
  zero: { type: Cmd.WRITE_ZEROES, offset: 10 * MIB, length: MIB },
  'block status': { type: Cmd.BLOCK_STATUS, ...at },
};

/** Control operations, each of a device of its own there but for the bind: what they come to, or their refusal. */
const CONTROL: Readonly<
  Record<string, (daemon: Daemon, device: number, newFile: string) => Promise<unknown>>
> = {
  bind: (daemon, _, file) => daemon.client.find({ file }),
  detach: (daemon, device) => daemon.client.clear(device),
  set_dio: (daemon, device) => daemon.client.directIo(device, true),
  set_capacity: (daemon, device) => daemon.client.capacity(device),
};

/** Milliseconds that a device elsewhere and the control API took to answer, until it is over. */
class Watch {
  readonly control: number[] = [];
  readonly device: number[] = [];
  #isOver = false;
  readonly #ended: Promise<unknown>;

  constructor(daemon: Daemon, good: MixedSession, bad: number) {
    this.#ended = Promise.all([
      this.#measure(this.control, async () => {
        await daemon.client.list();
        await daemon.client.device(bad);
      }),
      this.#measure(this.device, async () => {
        await good.ask({ type: Cmd.WRITE, offset: 0, payload });
        await good.ask({ type: Cmd.READ, ...at });
        await good.ask({ type: Cmd.FLUSH });
      }),
    ]);
  }

  async #measure(into: number[], ask: () => Promise<void>): Promise<void> {
    while (!this.#isOver) {
      const began = performance.now();
      await ask();
      into.push(performance.now() - began);
      await sleep(10);
    }
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#ended;
  }
}

function expectQuick(t: Test, what: string, latencies: readonly number[]): void {
  const sorted = latencies.toSorted((a, b) => a - b);
  const of = (share: number): number =>
    sorted[Math.ceil(share * sorted.length) - 1] ?? Number.POSITIVE_INFINITY;
  t.comment(`${what}: ${sorted.length} answers, p50 ${of(0.5).toFixed(1)} ms, p99 ${of(0.99).toFixed(1)} ms`);
  t.ok(sorted.length > 1 && of(0.5) < USUAL, `${what} answers as ever`);
  t.ok(of(1) < MOST, `${what} never waits for what hangs`);
}

/** Threads and descriptors of a daemon. The kernel's workers for its io_urings are among the threads, and stay for 5 s. */
const belongings = ({
  process: { pid },
}: Daemon): { readonly threads: number; readonly descriptors: number } => ({
  threads: readdirSync(`/proc/${pid}/task`).length,
  descriptors: readdirSync(`/proc/${pid}/fd`).length,
});
/** A reactor that is kept ready for the next file system, with the threads of its engine. */
const SPARE_THREADS = 6;

const FILE_SYSTEMS = [
  ['a frozen ext4', frozen, skipWithoutKernelLoop() || skipUnless('mkfs.ext4', 'fsfreeze', 'mount')],
  ['a stopped FUSE server', stopped, skipWithoutFuse()],
  ['FUSE at 50 ms a request', slow, skipWithoutFuse()],
] as const;

for (const [title, make, skip] of FILE_SYSTEMS) {
  t.test(`${title}: all that is asked of it waits for it, and nothing else does`, { skip }, async (t) => {
    using files = new TempDir();
    using directory = new TempDir();
    await using fragile: Fragile = await make();
    const names = Object.keys(CONTROL);
    const elsewhere = makeRandomFile(files.file('good'), SIZE);
    const there = ['data', ...names].map((name) => fragile.file(name));
    const another = fragile.file('new');
    await using daemon = await Daemon.start({ directory, devices: [elsewhere, ...there] });
    const open = (name: string): Promise<MixedSession> =>
      MixedSession.open(daemon.socket, { mode: 'structured', name });
    await using good = await open('loop0');
    const kinds = Object.entries(REQUESTS);
    const sessions = await Promise.all(kinds.map(() => open('loop1')));
    const before = belongings(daemon);
    await fragile.hang();
    // Should all hang, a file system that stays frozen would keep this process, too.
    const rescue = setTimeout(() => void fragile.goOn(), 90_000);
    const outcomes = new Map<string, unknown>();
    const told = (name: string, work: Promise<unknown>): Promise<void> =>
      work.then(
        (outcome) => void outcomes.set(name, outcome),
        (error: unknown) => void outcomes.set(name, error),
      );
    const watch = new Watch(daemon, good, 1);
    const asked = [
      ...kinds.map(([name, ask], i) =>
        told(name, sessions[i]?.ask(ask) ?? Promise.reject(new Error('no session'))),
      ),
      ...Object.entries(CONTROL).map(([name, ask], i) => told(name, ask(daemon, i + 2, another))),
    ];
    try {
      await sleep(WHILE_MS);
      t.comment(`done meanwhile: ${[...outcomes.keys()].join(', ') || 'nothing'}`);
      await watch.end();
      expectQuick(t, 'the control API', watch.control);
      expectQuick(t, 'a device elsewhere', watch.device);
    } finally {
      clearTimeout(rescue);
      await fragile.goOn();
    }
    await Promise.all(asked);
    for (const [name] of kinds) t.match(outcomes.get(name), { error: 0 }, `${name} is done`);
    t.match(outcomes.get('bind'), { state: 'bound', file: another });
    t.match(outcomes.get('detach'), { outcome: 'cleared' });
    // FUSE has direct I/O or has not, by its server.
    t.match(outcomes.get('set_dio'), title.includes('ext4') ? { directIo: true } : {});
    t.match(outcomes.get('set_capacity'), { size: SIZE });
    const answer = await sessions[0]?.ask({ type: Cmd.READ, offset: 0, length: payload.length });
    t.ok(answer?.data.equals(payload), 'and was done whole');
    for (const session of sessions) await session[Symbol.asyncDispose]();
    const { number } = outcomes.get('bind') as { number: number };
    await daemon.client.clear(number);
    if (title.includes('50 ms')) return;
    await until('the threads that waited are gone', async () => {
      const { threads, descriptors } = belongings(daemon);
      return threads <= before.threads + SPARE_THREADS && descriptors <= before.descriptors
        ? true
        : undefined;
    });
  });
}

t.test(
  'a daemon that starts while a file system hangs serves the others at once',
  { skip: skipWithoutFuse() },
  async (t) => {
    using files = new TempDir();
    using directory = new TempDir();
    await using fragile = await stopped();
    const devices = [makeRandomFile(files.file('good'), SIZE), fragile.file('data')];
    await using first = await Daemon.start({ directory, devices });
    await first.kill();
    await fragile.hang();
    await using second = await Daemon.start({ directory });
    {
      await using session = await MixedSession.open(second.socket, { mode: 'structured', name: 'loop0' });
      t.equal((await session.ask({ type: Cmd.READ, ...at })).error, 0);
    }
    t.match(await second.client.unrecovered(), [{ number: 1, errno: 'EAGAIN' }]);
    await fragile.goOn();
    while ((await second.client.unrecovered()).length > 0) await sleep(20);
    t.match(await second.client.device(1), { state: 'bound', file: devices[1] });
  },
);
