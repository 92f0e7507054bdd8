import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { LoopDevice } from '../../driver/loop/loop-device.js';
import { HandshakeClient, option, u32 } from '../helpers/handshake.js';
import { Random } from '../helpers/random.js';
import { ServedLoops } from '../helpers/served-loops.js';
import { makeRandomFile } from '../helpers/temp.js';

/** How often a last close races a new open. */
const ROUNDS = Number(process.env.NBDLOOP_RACE_ROUNDS ?? '10000');
const BYTES = 1 << 20;
const BLOCK = 4096;
const EXPORT_NAME = 1;
const Cmd = { READ: 0, DISC: 2 } as const;
const EIO = 5;

/** A session: one connection that has taken loop0 by EXPORT_NAME. */
class Session {
  private constructor(
    readonly client: HandshakeClient,
    /** As negotiated, bytes. */
    readonly size: number,
  ) {}

  static async open(path: string): Promise<Session> {
    const socket = connect(path);
    socket.on('error', () => {});
    await once(socket, 'connect');
    const client = new HandshakeClient(socket);
    await client.greet();
    client.send(option(EXPORT_NAME, Buffer.from('loop0')));
    const answer = await client.read(10);
    return new Session(client, Number(answer.readBigUInt64BE(0)));
  }

  /** The error of a read of one block, 0 when it came; the data must be the file's. */
  async read(block: number, file: Buffer): Promise<number> {
    this.#request(Cmd.READ, block * BLOCK, BLOCK);
    const header = await this.client.read(16);
    const error = header.readUInt32BE(4);
    if (error !== 0) return error;
    const data = await this.client.read(BLOCK);
    if (!data.equals(file.subarray(block * BLOCK, (block + 1) * BLOCK))) throw new Error('wrong data');
    return 0;
  }

  /** Takes leave by DISC, by the end of the stream, or by vanishing. */
  close(how: 'disc' | 'end' | 'destroy'): void {
    if (how === 'disc') this.#request(Cmd.DISC, 0, 0);
    if (how === 'destroy') this.client.stream.destroy();
    else this.client.stream.end();
  }

  #request(type: number, offset: number, length: number): void {
    const rest = Buffer.alloc(16);
    rest.writeBigUInt64BE(BigInt(offset), 8);
    this.client.send(u32(0x25609513), u32(type), rest, u32(length));
  }
}

/** Waits until the server has seen every session go. */
async function closed(device: LoopDevice): Promise<void> {
  while (device.openers > 0) await sleep(0);
}

t.setTimeout(290_000);

t.test('a last close races a new open over real sockets', async (t) => {
  await using served = await ServedLoops.start();
  const { bench, socketPath: path } = served;
  const random = Random.fromEnvironment('NBDLOOP_RACE_SEED');
  t.comment(`NBDLOOP_RACE_SEED=${random.seed}`);
  const device = await bench.device(0);
  const image = makeRandomFile(bench.dir.file('disk.img'), BYTES);
  const file = readFileSync(image);
  const outcomes = { kept: 0, cleared: 0 };
  const wrong = new Map<string, number>();
  const expect = (good: boolean, what: string): void => {
    if (!good) wrong.set(what, (wrong.get(what) ?? 0) + 1);
  };

  /** The new opener: whatever it found, it finds until its close. */
  const visit = async (): Promise<void> => {
    const session = await Session.open(path);
    const isBound = session.size === BYTES;
    expect(isBound || session.size === 0, `a session of ${session.size} bytes`);
    for (let look = 0; look < 3; look++) {
      const error = await session.read(random.below(BYTES / BLOCK), file);
      expect(
        error === (isBound ? 0 : EIO),
        `error ${error} in a session that began ${isBound ? '' : 'un'}bound`,
      );
      expect(device.state === (isBound ? 'bound' : 'unbound'), `${device.state} under a session`);
      if (look === 0 && random.chance(0.1)) await sleep(1);
    }
    outcomes[isBound ? 'kept' : 'cleared']++;
    session.close(random.pick(['disc', 'end', 'destroy']));
  };

  for (let round = 0; round < ROUNDS; round++) {
    if (device.state === 'unbound') await device.loopConfigure({ file: image, autoclear: true });
    const first = await Session.open(path);
    expect(first.size === BYTES, 'the first opener finds the file');
    // The new opener's handshake takes longer than the close: most rounds give it a head start.
    const visiting = random.chance(0.7) ? visit() : undefined;
    for (let turn = random.below(6); turn > 0; turn--) await new Promise((resolve) => setImmediate(resolve));
    first.close(random.pick(['disc', 'end', 'destroy']));
    await (visiting ?? visit());
    await closed(device);
    expect(device.state === 'unbound' || device.state === 'rundown', `${device.state} after the last close`);
    while (device.state !== 'unbound') await sleep(0);
  }
  t.same(Object.fromEntries(wrong), {}, `${ROUNDS} races: ${JSON.stringify(outcomes)}`);
  t.ok(outcomes.kept > 0 && outcomes.cleared > 0, `both ways happened: ${JSON.stringify(outcomes)}`);
  t.equal(device.queue.inFlight, 0);
  t.same(bench.control.order.reports, []);
});
