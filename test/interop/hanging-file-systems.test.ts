import t from 'tap';
import { Cmd, CmdFlag } from '../../server/wire/constants.js';
import { Freezable } from '../helpers/freezable.js';
import { FuseMount, skipWithoutFuse } from '../helpers/fuse/fuse-mount.js';
import { skipWithoutKernelLoop } from '../helpers/kernel-loop.js';
import { type Answer, MixedSession } from '../helpers/mixed-session.js';
import { ServedLoops } from '../helpers/served-loops.js';
import { makeRandomFile } from '../helpers/temp.js';
import { skipUnless } from '../helpers/tools.js';
import type { Ask } from '../helpers/transmission-client.js';

const MIB = 1 << 20;
const SIZE = 16 * MIB;

t.setTimeout(240_000);

/** A file system with one file, and what makes it hang. */
interface Fragile extends AsyncDisposable {
  readonly file: string;
  hang(): Promise<void>;
  goOn(): Promise<void>;
}

async function stoppable(): Promise<Fragile> {
  const mount = await FuseMount.mount();
  makeRandomFile(mount.real('a.img'), SIZE);
  return {
    file: mount.file('a.img'),
    hang: async () => mount.hang(),
    goOn: async () => mount.goOn(),
    [Symbol.asyncDispose]: () => mount[Symbol.asyncDispose](),
  };
}

const at = { offset: 2 * MIB, length: 64 << 10 };
const payload = Buffer.alloc(64 << 10, 7);

/** Of each kind of request one, and whether it waits for a frozen ext4. Whether one waits for FUSE is the kernel's affair. */
const KINDS: readonly (readonly [name: string, waitsForFrozen: boolean, ask: Ask])[] = [
  ['read', false, { type: Cmd.READ, ...at }],
  ['write', true, { type: Cmd.WRITE, offset: 0, payload }],
  ['long write', true, { type: Cmd.WRITE, offset: 4 * MIB, payload: Buffer.alloc(MIB, 7) }],
  ['FUA write', true, { type: Cmd.WRITE, flags: CmdFlag.FUA, offset: MIB, payload }],
  ['flush', false, { type: Cmd.FLUSH }],
  ['trim', true, { type: Cmd.TRIM, offset: 8 * MIB, length: MIB }],
  ['zero', true, { type: Cmd.WRITE_ZEROES, offset: 10 * MIB, length: MIB }],
  ['block status', false, { type: Cmd.BLOCK_STATUS, ...at }],
];

const frozenSkip = skipWithoutKernelLoop() || skipUnless('mkfs.ext4', 'fsfreeze', 'mount');
const FILE_SYSTEMS = [
  ['a frozen ext4', Freezable.make, frozenSkip],
  ['a FUSE file system whose server is stopped', stoppable, skipWithoutFuse()],
] as const;

for (const [title, make, skip] of FILE_SYSTEMS) {
  t.test(`${title} stops its own device alone, whatever is asked of it`, { skip }, async (t) => {
    await using fragile: Fragile = await make();
    await using served = await ServedLoops.start({ reactors: 1 });
    const [bad, good] = [await served.bench.device(), await served.bench.device()];
    await bad.loopConfigure({ file: fragile.file });
    await good.loopConfigure({ file: makeRandomFile(served.bench.dir.file('good.img'), SIZE) });
    const open = (name: string): Promise<MixedSession> =>
      MixedSession.open(served.socketPath, { mode: 'structured', name });
    const sessions = await Promise.all(KINDS.map(() => open(bad.name)));
    await using before = await open(good.name);
    await fragile.hang();
    // Should all hang, a file system that stays frozen would keep this process, too.
    let isRescued = false;
    const rescue = setTimeout(() => {
      isRescued = true;
      void fragile.goOn();
    }, 60_000);
    const settled = new Map<string, Answer>();
    const answers = KINDS.map(async ([kind, , ask], index) => {
      const answer = await sessions[index]?.ask(ask);
      if (answer !== undefined) settled.set(kind, answer);
    });
    try {
      for (let round = 0; round < 5; round++) {
        await using newcomer = await open(good.name);
        for (const session of [before, newcomer]) {
          for (const [kind, , ask] of KINDS) t.equal((await session.ask(ask)).error, 0, `${kind} elsewhere`);
        }
      }
      if (title.includes('ext4')) {
        for (const [kind, waits] of KINDS) if (waits) t.notOk(settled.has(kind), `${kind} waits`);
      } else {
        t.ok(settled.size < KINDS.length, 'something waits');
      }
    } finally {
      clearTimeout(rescue);
      if (!isRescued) await fragile.goOn();
    }
    t.notOk(isRescued, 'the other device answers while it hangs');
    await Promise.all(answers);
    for (const [kind] of KINDS) t.equal(settled.get(kind)?.error, 0, `${kind} is done`);
    const [reader] = sessions;
    const { data } = (await reader?.ask({ type: Cmd.READ, offset: 0, length: payload.length })) ?? {};
    t.ok(data?.equals(payload), 'and was done whole');
    for (const session of sessions) await session[Symbol.asyncDispose]();
  });
}
