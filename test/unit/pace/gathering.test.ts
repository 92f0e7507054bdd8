import { readFileSync } from 'node:fs';
import t from 'tap';
import { Gathering } from '../../../server/pace/gathering.js';
import { Cmd } from '../../../server/wire/constants.js';
import { ReactorBench } from '../../helpers/reactor-bench.js';

const { READ, WRITE } = Cmd;
const BLOCK = 4096;

/**
 * A client with `depth` requests in flight that needs `pace` microseconds for each before it sends the next, and a
 * server whose pauses come `late`. Time is counted, not spent.
 */
class Model {
  readonly gathering = new Gathering();
  now = 0;
  served = 0;
  turns = 0;
  paused = 0;
  /** Replies that the client has not gone through. */
  #backlog: number;
  /** Requests it has sent that are not served. */
  #sent = 0;
  #credit = 0;

  constructor(
    readonly depth: number,
    readonly pace: number,
    readonly late = 50,
  ) {
    this.#backlog = depth;
  }

  /** One turn, and the pause after it. */
  turn(): void {
    while (this.#sent === 0) this.#pass(this.pace);
    const requests = this.#sent;
    this.#sent = 0;
    this.#backlog += requests;
    this.served += requests;
    this.turns++;
    this.#pass(requests * 4);
    const pause = this.gathering.next(requests, this.now / 1000);
    if (pause === 0) return;
    const slept = pause + this.late;
    this.paused += slept;
    this.#pass(slept);
    this.gathering.slept(slept);
  }

  #pass(micros: number): void {
    this.now += micros;
    this.#credit = Math.min(this.#credit + micros / this.pace, this.#backlog);
    const through = Math.floor(this.#credit);
    this.#credit -= through;
    this.#backlog -= through;
    this.#sent += through;
  }

  /** Microseconds a request takes. */
  run(turns: number): number {
    const [at, served] = [this.now, this.served];
    for (let i = 0; i < turns; i++) this.turn();
    return (this.now - at) / (this.served - served);
  }
}

t.test(
  'a slow client with many requests in flight is served in groups, and is not slowed down',
  async (t) => {
    for (const depth of [16, 32, 64]) {
      const model = new Model(depth, 12);
      model.run(500);
      const before = { served: model.served, turns: model.turns };
      const pace = model.run(5000);
      const group = (model.served - before.served) / (model.turns - before.turns);
      t.ok(pace < 12 * 1.1, `depth ${depth}: ${pace.toFixed(1)} us a request`);
      t.ok(group > 6, `depth ${depth}: ${group.toFixed(1)} requests a turn`);
      t.ok(group < depth, `depth ${depth}: not all it has`);
    }
  },
);

t.test('a client with one request or two in flight is left alone', async (t) => {
  for (const depth of [1, 2, 3, 4]) {
    const model = new Model(depth, 12);
    model.run(20_000);
    t.ok(
      model.paused / model.now < 0.05,
      `depth ${depth}: ${((model.paused / model.now) * 100).toFixed(2)} %`,
    );
  }
});

t.test('a fast client is left alone: the timer takes longer than all it has in flight', async (t) => {
  const model = new Model(16, 2);
  model.run(500);
  const [paused, now] = [model.paused, model.now];
  model.run(20_000);
  t.ok((model.paused - paused) / (model.now - now) < 0.05);
});

t.test('pauses end with the depth that they were made for', async (t) => {
  const deep = new Model(32, 12);
  deep.run(1000);
  const shallow = new Model(1, 12);
  // The same connection, whose client goes on with one request at a time.
  Object.assign(shallow, { gathering: deep.gathering, now: deep.now });
  shallow.run(2000);
  const paused = shallow.paused;
  shallow.run(10_000);
  t.ok((shallow.paused - paused) / shallow.now < 0.1);
});

t.test('a client that stops and goes on is served at once', async (t) => {
  const model = new Model(32, 12);
  for (let round = 0; round < 50; round++) {
    model.run(100);
    model.now += 1e6; // a second
  }
  const pace = model.run(5000);
  t.ok(pace < 12 * 1.1, `${pace.toFixed(1)} us a request`);
});

for (const transport of ['unix', 'tcp'] as const) {
  t.test(`a client that sends a request for each reply gets all replies (${transport})`, async (t) => {
    await using bench = await ReactorBench.start({ transport });
    const device = await bench.device(1 << 20);
    const client = await bench.connect(device);
    const blocks = (1 << 20) / BLOCK;
    const kept = Buffer.from(readFileSync(device.path));
    let next = 0;
    let wrong = 0;
    const ask = (count: number): void => {
      for (let i = 0; i < count; i++, next++) {
        const offset = (next % blocks) * BLOCK;
        const isRead = next % 3 === 0;
        const cookie = BigInt(next + 1);
        if (isRead) client.send({ type: READ, cookie, offset, length: BLOCK });
        else client.send({ type: WRITE, cookie, offset, payload: kept.subarray(offset, offset + BLOCK) });
      }
    };
    ask(32);
    for (let seen = 0; seen < 20_000; seen++) {
      const [reply] = await client.replies(1);
      const offset = (seen % blocks) * BLOCK;
      if (reply?.cookie !== BigInt(seen + 1) || reply.error !== 0) wrong++;
      if (seen % 3 === 0 && !reply?.data?.equals(kept.subarray(offset, offset + BLOCK))) wrong++;
      if (next < 20_000) ask(1);
    }
    t.equal(wrong, 0);
    t.ok(readFileSync(device.path).equals(kept));
  });
}
