/** The same seeds and the same requests are the same faults, byte for byte; and what is hit leaves no trace anywhere else. */
import { copyFileSync, readFileSync } from 'node:fs';
import t from 'tap';
import type { FaultRule } from '../../driver/control/messages.js';
import { ruleMemory } from '../../driver/store/faults/counters.js';
import { FaultJudge } from '../../driver/store/faults/decide.js';
import { hitMemory } from '../../driver/store/faults/hit-ring.js';
import type { FaultEvent, FaultState } from '../../driver/store/faults/rule.js';
import { Daemon } from '../helpers/daemon.js';
import { NbdRequests } from '../helpers/nbd-requests.js';
import { run } from '../helpers/process.js';
import { Random } from '../helpers/random.js';
import { ServedLoops } from '../helpers/served-loops.js';
import { makeRandomFile, makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';
import { until } from '../helpers/until.js';

t.setTimeout(180_000);
const MIB = 1 << 20;

const RULES: readonly FaultRule[] = [
  { kind: 'torn', operations: ['write'], probability: 0.2, seed: 11 },
  { kind: 'misdirected', operations: ['write'], probability: 0.2, seed: 12, count: 5 },
  { kind: 'flipped', operations: ['write'], bits: 3, probability: 0.2, seed: 13 },
  { kind: 'lost', operations: ['write', 'trim'], probability: 0.2, seed: 14, after: 10 },
  { kind: 'errno', errno: 'ENOSPC', operations: ['write', 'zero'], every: 17, seed: 15 },
];

/** What a client asks for. */
function commands(): readonly string[] {
  const random = new Random(7);
  return Array.from({ length: 60 }, (_, n) => {
    const at = `${4 * random.below(240)}k ${4 * (1 + random.below(4))}k`;
    return random.weighted([
      [8, `write -P ${n + 1} ${at}`],
      [1, `discard ${at}`],
      [1, `write -z ${at}`],
      [1, 'flush'],
    ]);
  });
}

/** The commands over so many connections, one after the other; a request that fails is no matter. */
async function ask(uri: string, connections: number): Promise<void> {
  const all = commands();
  const each = Math.ceil(all.length / connections);
  for (let first = 0; first < all.length; first += each) {
    const some = all.slice(first, first + each).flatMap((one) => ['-c', one]);
    // Without the FLUSH at its end, of which there would be one for each connection.
    await run(tool('qemu-io'), ['-f', 'raw', '-t', 'writeback', ...some, uri]);
  }
}

t.test(
  'qemu-io gets the same faults over one connection or six, also of the daemons that come after',
  { skip: skipUnless('qemu-io') },
  async (t) => {
    using dir = new TempDir();
    const original = makeRandomFile(dir.file('original'), MIB);
    const results: { disk: Buffer; faults: readonly FaultState[] }[] = [];
    for (const connections of [1, 6, 1]) {
      await using daemon = await Daemon.start({ directory: dir });
      copyFileSync(original, dir.file('disk'));
      const { number } = await daemon.client.find({ file: dir.file('disk'), faults: RULES });
      await ask(daemon.uri(`loop${number}`), connections);
      const { rules } = await daemon.client.faults(number);
      results.push({ disk: readFileSync(dir.file('disk')), faults: rules });
      await daemon.client.clear(number);
      t.equal((await daemon.stop()).status, 0);
    }
    const [one, six, again] = results;
    t.strictSame(six?.faults, one?.faults);
    t.strictSame(again?.faults, one?.faults);
    t.ok(one?.disk.equals(six?.disk ?? Buffer.alloc(0)));
    t.ok(one?.disk.equals(again?.disk ?? Buffer.alloc(0)));
    for (const { kind, hits } of one?.faults ?? []) t.ok(hits > 0, `${kind} was hit ${hits} times`);
  },
);

t.test('of requests that come at once, the places that are hit are the same, whoever has them', async (t) => {
  const WRITES = 4000;
  const rules = [
    { kind: 'lost', id: 'some', operations: ['write'], probability: 0.5, seed: 5, count: 700 },
    { kind: 'errno', id: 'few', operations: ['write'], every: 3, after: 100, seed: 1, count: 200 },
  ] as const;
  await using served = await ServedLoops.start({ reactors: 2 });
  const device = await served.bench.bound();
  const hits: FaultEvent[] = [];
  served.bench.control.events.on('fault', (event) => hits.push(event));
  await device.loopSetFaults(rules);
  const clients = await Promise.all(Array.from({ length: 4 }, () => NbdRequests.open(served.socketPath)));
  const one = async (client: NbdRequests, from: number): Promise<void> => {
    for (let n = from; n < WRITES / 4; n += 16) await client.write((n % 200) * 4096, Buffer.alloc(4096, n));
  };
  await Promise.all(clients.flatMap((client) => Array.from({ length: 16 }, (_, n) => one(client, n))));
  await Promise.all(clients.map((client) => client.leave()));
  await until('all hits are told', async () => hits.length === 900 || undefined);
  // One after the other, by one thread.
  const [some, few] = device.loopFaults();
  const live = rules.map((_, n) => ({
    ...(n === 0 ? some : few),
    ...{ serial: n, number: 5, shared: ruleMemory() },
  }));
  const judge = new FaultJudge({ rules: live as never, hits: hitMemory(), bell: 0 }, () => {});
  const expected: string[] = [];
  for (let n = 0; n < WRITES; n++) {
    const met = judge.judge({ operation: 'write', offset: 0, length: 4096, fua: false });
    if (met?.outcome !== undefined) expected.push(`${met.outcome.id} ${met.index}`);
  }
  t.strictSame(
    hits.map(({ rule, index }) => `${rule} ${index}`),
    expected,
  );
});

const page = (byte: number): Buffer => Buffer.alloc(4096, byte);

t.test(
  'what is beside the device sees nothing of its faults: another file, a copy, a snapshot, who comes next',
  async (t) => {
    using dir = new TempDir();
    await using daemon = await Daemon.start({ directory: dir, args: ['--handover'] });
    const { client } = daemon;
    const flips = { kind: 'flipped', id: 'flips', operations: ['read'], bits: 9, seed: 1 } as const;

    const base = makeRandomFile(dir.file('base'), MIB);
    const whole = readFileSync(base);
    await client.add(0);
    await client.configure(0, { file: base, overlay: { delta: dir.file('delta') }, faults: [flips] });
    const session = await NbdRequests.open(daemon.socket);
    t.equal(await session.write(0, page(1)), 0);
    t.notOk((await session.read(0, 4096)).data.equals(page(1)));
    await client.snapshot({ devices: [{ number: 0, file: dir.file('sealed') }] });
    await client.move(0, dir.file('moved'));
    await until('it has moved', async () => (await client.copyStatus(0)).state === 'done' || undefined);
    t.match(
      (await client.faults(0)).rules,
      [{ id: 'flips', seen: 1 }],
      'the device has its rules, and goes on in them',
    );
    await session.leave();
    const expected = Buffer.concat([page(1), whole.subarray(4096)]);
    t.ok(readFileSync(dir.file('moved')).equals(expected), 'what was moved is as it was written');
    await client.add(1);
    await client.configure(1, { file: dir.file('sealed'), overlay: { temporary: true } });
    const other = await NbdRequests.open(daemon.socket, 'loop1');
    t.ok((await other.read(0, MIB)).data.equals(expected), 'and what was sealed');
    t.strictSame((await client.faults(1)).rules, []);
    await other.leave();

    const files = ['one', 'two'].map((name) => makeSparseFile(dir.file(name), MIB));
    await client.add(2);
    await client.configure(2, { file: files[0] ?? '', readOnly: true, autoclear: true, faults: [flips] });
    const reader = await NbdRequests.open(daemon.socket, 'loop2');
    await client.changeFile(2, files[1] ?? '');
    t.notOk(
      (await reader.read(0, 4096)).data.equals(page(0)),
      'another file under the device: its rules are its own',
    );
    await reader.leave();
    await until('its last close', async () => (await client.device(2)).state === 'unbound' || undefined);
    for (const file of files) t.ok(readFileSync(file).equals(Buffer.alloc(MIB)));
    await client.configure(2, { file: files[0] ?? '' });
    t.strictSame((await client.faults(2)).rules, [], 'autoclear');

    await client.setFaults(0, [{ kind: 'errno' }]);
    await using successor = Daemon.launch(dir, { directory: dir, args: ['--handover'] });
    await daemon.process.ended;
    await successor.process.waitForOutput(/control socket/);
    t.strictSame((await successor.client.faults(0)).rules, [], 'a handover');
    await successor.client.setFaults(0, [{ kind: 'errno' }]);
    await successor.kill();
    await using last = await Daemon.start({ directory: dir });
    t.strictSame((await last.client.faults(0)).rules, [], 'a crash');
    const clean = await NbdRequests.open(last.socket);
    t.ok((await clean.read(0, MIB)).data.equals(expected));
    await clean.leave();
  },
);
