import t from 'tap';
import { Comparison, type ComparisonOptions, Side } from '../../../server/pace/comparison.js';

const OPTIONS: ComparisonOptions = {
  lap: 100,
  runUp: 10,
  first: 0,
  atFirst: Side.USUAL,
  hold: 1000,
  maxHold: 4000,
  faster: 1.1,
};
/** Of a whole comparison. */
const SIX_LAPS = 6 * 110;

/** A client that takes so many milliseconds a request, either way. Time is counted, not spent. */
class Client {
  readonly comparison: Comparison;
  now = 5000;

  constructor(
    options: Partial<ComparisonOptions>,
    public usual: number,
    public other: number,
  ) {
    this.comparison = new Comparison({ ...OPTIONS, ...options });
  }

  /** Asks so often; returns how often the other way was taken. */
  ask(requests: number): number {
    let other = 0;
    for (let i = 0; i < requests; i++) {
      const { side } = this.comparison;
      if (side === Side.OTHER) other++;
      this.now += side === Side.OTHER ? this.other : this.usual;
      this.comparison.went(1, this.now);
    }
    return other;
  }
}

t.test('the side with which the client is faster is taken', async (t) => {
  for (const [usual, other, share] of [
    [0.02, 0.015, 1],
    [0.02, 0.019, 0],
    [0.02, 0.02, 0],
    [0.02, 0.05, 0],
  ] as const) {
    const client = new Client({}, usual, other);
    client.ask(SIX_LAPS + 1);
    t.equal(client.ask(500), share * 500, `${usual} and ${other} ms`);
  }
});

t.test('before the first comparison there is the side that was named', async (t) => {
  for (const atFirst of [Side.USUAL, Side.OTHER]) {
    const client = new Client({ first: 300, atFirst }, 0.02, 0.01);
    t.equal(client.ask(300), atFirst === Side.OTHER ? 300 : 0);
    t.equal(client.comparison.side, Side.USUAL, 'then the usual way is measured first');
    const compared = client.ask(SIX_LAPS);
    t.ok(compared > 200 && compared < SIX_LAPS, `${compared} the other way`);
  }
});

t.test('a pause ends what was being measured, not what was found', async (t) => {
  const client = new Client({ first: 50 }, 0.02, 0.01);
  client.ask(50 + 150);
  t.equal(client.comparison.side, Side.OTHER, 'the second lap');
  client.now += 10;
  client.ask(1);
  t.equal(client.comparison.side, Side.USUAL, 'from the beginning');
  client.ask(SIX_LAPS);
  client.now += 10;
  t.equal(client.ask(100), 100, 'once found it holds');
});

t.test('no pause before the first comparison begins it', async (t) => {
  const client = new Client({ first: 50, atFirst: Side.OTHER }, 0.02, 0.03);
  for (let i = 0; i < 50; i++) {
    t.equal(client.ask(1), 1);
    client.now += 10;
  }
  t.equal(client.ask(1), 0);
});

t.test('what was found is looked at again, less often where it stays the same', async (t) => {
  const client = new Client({}, 0.01, 0.02);
  client.ask(220 + 1); // two laps are enough
  t.equal(client.ask(1999), 0, 'twice as long as at first');
  t.ok(client.ask(220) > 90, 'compared');
  client.ask(4000);
  client.other = 0.005;
  client.ask(4000 + SIX_LAPS);
  t.equal(client.ask(300), 300, 'a client that changed is served as it is now');
});
