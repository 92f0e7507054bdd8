/** A planned change of daemons that clients do not notice: their sessions go on over the sockets that they have. */

import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { Cmd } from '../../server/wire/constants.js';
import { selfSigned } from '../helpers/certificates.js';
import { Daemon, freePort } from '../helpers/daemon.js';
import { nbdJob, parseFio, startFio } from '../helpers/fio.js';
import { MixedSession } from '../helpers/mixed-session.js';
import { describeFailure, start } from '../helpers/process.js';
import { Random } from '../helpers/random.js';
import { SteppingClient } from '../helpers/stepping-clients.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';
import { encodeAsk } from '../helpers/transmission-client.js';
import { until } from '../helpers/until.js';

t.setTimeout(300_000);
const MIB = 1 << 20;
const MODES = ['simple', 'structured', 'extended'] as const;

/** Daemons over one directory, each of which takes over from the one before. */
class Succession implements AsyncDisposable {
  readonly files = new TempDir();
  readonly directory = new TempDir();
  readonly #all: Daemon[] = [];

  constructor(readonly port?: number) {}

  async start(devices: readonly string[], args: readonly string[] = []): Promise<Daemon> {
    const rest = this.port === undefined ? {} : { port: this.port };
    const first = await Daemon.start({ directory: this.directory, devices, args, ...rest });
    this.#all.push(first);
    return first;
  }

  async next(args: readonly string[] = []): Promise<Daemon> {
    const before = this.#all.at(-1);
    const rest = this.port === undefined ? {} : { port: this.port };
    const after = Daemon.launch(this.directory, { args: ['--handover', ...args], ...rest });
    this.#all.push(after);
    await before?.process.ended;
    await after.process.waitForOutput(/control socket/);
    return after;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const daemon of this.#all) await daemon[Symbol.asyncDispose]();
    this.directory[Symbol.dispose]();
    this.files[Symbol.dispose]();
  }
}

const sessionsOf = async ({ client }: Daemon): Promise<string[]> =>
  (await client.connections()).map(({ peer, export: name, since }) => `${peer} ${name} ${since}`).sort();

t.test('fio verifies what it writes through five changes', { skip: skipUnless('fio') }, async (t) => {
  await using daemons = new Succession();
  const first = await daemons.start([makeSparseFile(daemons.files.file('a.img'), 64 * MIB)]);
  await using fio = startFio(
    nbdJob(first.uri('loop0'), {
      ...{ rw: 'randrw', bs: '4k', iodepth: 16, size: '64m', verify: 'crc32c', verify_backlog: 256 },
      ...{
        rate_iops: 200,
        numjobs: 2,
        offset_increment: '32m',
        verify_fatal: 1,
        verify_state_save: 0,
      },
    }),
  );
  await until('fio has connected', async () =>
    (await first.client.connections()).length >= 2 ? true : undefined,
  );
  const before = await sessionsOf(first);
  for (let i = 0; i < 5; i++) {
    await sleep(700);
    t.strictSame(await sessionsOf(await daemons.next()), before, 'the same sessions, since they began');
  }
  t.notOk(fio.isOver, 'it is still at work');
  fio.signal('SIGINT');
  const ended = await fio.wait(120_000);
  t.ok(parseFio(ended.stdout).errors.every((error) => error === 0));
});

/** Writes and reads of one client, what is read being what it wrote there last; counts what was answered. */
async function works(session: MixedSession, seed: number, done: { over: boolean }): Promise<number> {
  const random = new Random(seed);
  const letters = new Map<number, number>();
  let answered = 0;
  const one = async (slot: number): Promise<void> => {
    while (!done.over) {
      const [offset, letter] = [slot * 64 * 1024, 1 + random.below(255)];
      const length = 512 * (1 + random.below(128));
      const wrote = await session.ask({ type: Cmd.WRITE, offset, payload: Buffer.alloc(length, letter) });
      letters.set(slot, letter);
      const read = await session.ask({ type: Cmd.READ, offset, length });
      if (wrote.error !== 0 || read.error !== 0) throw new Error(`errors ${wrote.error}, ${read.error}`);
      if (!read.data.equals(Buffer.alloc(length, letter))) throw new Error('another letter than was written');
      if (random.below(8) === 0) await session.ask({ type: Cmd.FLUSH });
      answered += 2;
    }
  };
  await Promise.all(Array.from({ length: 16 }, (_, slot) => one(slot)));
  return answered;
}

t.test('all three forms of replies, 16 requests at a time', async (t) => {
  await using daemons = new Succession();
  const image = makeSparseFile(daemons.files.file('a.img'), 16 * MIB);
  const other = makeSparseFile(daemons.files.file('b.img'), 16 * MIB);
  const third = makeSparseFile(daemons.files.file('c.img'), 16 * MIB);
  const first = await daemons.start([image, other, third]);
  const random = Random.fromEnvironment('SESSIONS_SEED');
  const done = { over: false };
  const sessions = await Promise.all(
    MODES.map((mode, i) => MixedSession.open(first.socket, { mode, name: `loop${i}` })),
  );
  const work = Promise.all(sessions.map((session) => works(session, random.next(), done)));
  work.catch(() => undefined);
  for (let i = 0; i < 5; i++) {
    await sleep(200 + random.below(300));
    await daemons.next();
  }
  done.over = true;
  for (const [i, count] of (await work).entries()) t.ok(count > 100, `${MODES[i]}: ${count} answers`);
  const [, structured] = sessions;
  const { extents } = (await structured?.ask({ type: Cmd.BLOCK_STATUS, length: 64 * 1024 })) ?? {};
  t.equal(extents?.size, 1, 'metadata contexts are as they were negotiated');
  for (const session of sessions) await session[Symbol.asyncDispose]();
});

/** Has read the simple replies of a socket, without data, by how many bytes there were. */
class Replies {
  readonly #bytes: Buffer[] = [];

  constructor(stream: Duplex) {
    stream.removeAllListeners('data');
    stream.on('data', (some: Buffer) => this.#bytes.push(some));
  }

  /** Errnos of the first so many. */
  async errors(count: number): Promise<number[]> {
    const all = await until(`${count} replies are there`, async () => {
      const bytes = Buffer.concat(this.#bytes);
      return bytes.length >= 16 * count ? bytes : undefined;
    });
    return Array.from({ length: count }, (_, i) => all.readUInt32BE(16 * i + 4));
  }
}

t.test('a request that is here in part', async (t) => {
  await using daemons = new Succession();
  const first = await daemons.start([makeSparseFile(daemons.files.file('a.img'), 16 * MIB)]);
  const open = () => MixedSession.open(first.socket, { mode: 'simple' });
  const [headed, begun, cut] = [await open(), await open(), await open()];
  const flush = encodeAsk('simple', { type: Cmd.FLUSH });
  const write = encodeAsk('simple', { type: Cmd.WRITE, payload: Buffer.alloc(4096, 'x') });
  const long = encodeAsk('simple', { type: Cmd.WRITE, payload: Buffer.alloc(8 * MIB, 'y') });
  const replies = [headed, begun].map(({ stream }) => new Replies(stream));
  headed.stream.write(flush.subarray(0, 11));
  begun.stream.write(write.subarray(0, 1000));
  cut.stream.write(long.subarray(0, 5 * MIB));
  const isCut = once(cut.stream, 'close');
  await sleep(200);
  const second = await daemons.next();
  await isCut;
  t.pass('a client that stops in the middle of a long payload is cut off, and may connect again');
  headed.stream.write(Buffer.concat([flush.subarray(11), write]));
  begun.stream.write(Buffer.concat([write.subarray(1000), flush]));
  for (const one of replies) t.strictSame(await one.errors(2), [0, 0], 'begun with one, ended with the next');
  for (const { stream } of [headed, begun]) stream.destroy();
  await using again = await MixedSession.open(second.socket, { mode: 'simple' });
  t.equal((await again.ask({ type: Cmd.READ, length: 4096 })).data.toString('latin1'), 'x'.repeat(4096));
});

/** What becomes of a plain TCP session when the next daemon is started with other words. */
async function underRules(t: Test, args: readonly string[], expected: 'goes on' | 'ends'): Promise<void> {
  const port = await freePort();
  await using daemons = new Succession(port);
  await daemons.start([makeSparseFile(daemons.files.file('a.img'), MIB)], ['--name', 'db']);
  const client = SteppingClient.libnbd(daemons.files, { port, exportName: 'db' });
  await using _ = client;
  t.equal(await client.read(), '\0', 'connected');
  const next = await daemons.next(args);
  const sessions = await next.client.connections();
  t.equal(sessions.length, expected === 'goes on' ? 1 : 0, args.join(' '));
  t.match(next.process.stderr, expected === 'goes on' ? /a session goes on/ : /refused a connection/);
}

t.test(
  'who may not connect any more does not go on',
  { skip: skipUnless('python3', 'openssl') },
  async (t) => {
    using keys = new TempDir();
    const { cert, key } = await selfSigned(keys, 'server');
    await underRules(t, [], 'goes on');
    await underRules(t, ['--allow', '127.0.0.0/8'], 'goes on');
    await underRules(t, ['--allow', '10.0.0.0/8'], 'ends');
    await underRules(t, ['--tls-cert', cert, '--tls-key', key, '--tls-require'], 'ends');
  },
);

t.test(
  'a session over TLS ends in order, with what was asked',
  { skip: skipUnless('openssl') },
  async (t) => {
    await using daemons = new Succession();
    const { cert, key } = await selfSigned(daemons.files, 'server');
    const image = makeSparseFile(daemons.files.file('a.img'), MIB);
    const tls = ['--tls-cert', cert, '--tls-key', key];
    const first = await daemons.start([image], tls);
    const session = await MixedSession.open(first.socket, { mode: 'structured', tls: true });
    t.equal((await session.ask({ type: Cmd.WRITE, payload: Buffer.alloc(512, 'x') })).error, 0);
    const closed = once(session.stream, 'close');
    const second = await daemons.next(tls);
    await closed;
    await using again = await MixedSession.open(second.socket, { mode: 'structured', tls: true });
    t.equal((await again.ask({ type: Cmd.READ, length: 512 })).data.toString('latin1', 0, 1), 'x');
  },
);

t.test(
  'nbdcopy, which knows of no second connection, copies through changes',
  { skip: skipUnless('nbdcopy') },
  async (t) => {
    await using daemons = new Succession();
    const image = makeSparseFile(daemons.files.file('a.img'), 256 * MIB);
    const first = await daemons.start([image]);
    await first.cliOk('nbdloop', 'limit', 'loop0', '--limit-bytes', '64M');
    await using copy = start(tool('nbdcopy'), [
      '--connections=4',
      first.uri('loop0'),
      'null:',
      '--allocated',
    ]);
    for (let i = 0; i < 3; i++) {
      await sleep(400);
      await daemons.next();
    }
    const ended = await copy.wait(60_000);
    t.equal(ended.status, 0, describeFailure('nbdcopy', [], ended));
  },
);
