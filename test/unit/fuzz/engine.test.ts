import { constants } from 'node:os';
import t from 'tap';
import { Status } from '../../../server/session/link.js';
import { Replies } from '../../../server/session/replies.js';
import { Session } from '../../../server/session/session.js';
import { Cmd } from '../../../server/wire/constants.js';
import { Fuzzer } from '../../fuzz/engine.js';
import { DEVICE_BYTES, handshakeFor, seedInputs } from '../../fuzz/grammar.js';
import { cut, inputOf, planOf, wireOf } from '../../fuzz/input.js';
import { MAX_INPUT, mutate } from '../../fuzz/mutate.js';
import { Random } from '../../fuzz/random.js';
import { runInMemory } from '../../fuzz/target.js';
import { MemoryBackend } from '../../helpers/memory-backend.js';
import { encodeAsk } from '../../helpers/transmission-client.js';

t.setTimeout(120_000);

t.test('a mistake behind a condition on several bytes is found step by step', async (t) => {
  const words = ['one step', 'two steps', 'three steps'];
  using fuzzer = new Fuzzer({
    seed: 1,
    budget: 60_000,
    mostFindings: 1,
    corpus: [inputOf(Buffer.alloc(64))],
    target: async (input) => {
      const steps = [8, 20, 40].findIndex((at, step) => (input[at] ?? 0) >> 4 !== step + 1);
      if (steps === -1) throw new Error('found');
      return words.slice(0, steps);
    },
  });
  const { findings } = await fuzzer.run();
  t.ok(findings.length > 0);
  t.match(findings[0]?.message, 'found');
});

t.test('the same seed makes the same inputs', async (t) => {
  const corpus = seedInputs();
  const inputs = (seed: number): string[] => {
    const random = new Random(seed);
    return Array.from({ length: 50 }, () => mutate(random, corpus).toString('hex'));
  };
  t.strictSame(inputs(7), inputs(7));
  t.notSame(inputs(7), inputs(8));
});

t.test('inputs stay within their bounds, and their pieces are the whole', async (t) => {
  const random = new Random(3);
  let corpus = seedInputs();
  for (let round = 0; round < 300; round++) {
    const input = mutate(random, corpus);
    const whole = Buffer.concat([...cut(wireOf(input), planOf(input))]);
    if (input.length > MAX_INPUT || !whole.equals(wireOf(input))) t.fail(`round ${round}`);
    corpus = [...corpus.slice(-20), input];
  }
});

t.test('what the server says to a session that works is told', async (t) => {
  const read = encodeAsk('structured', { type: Cmd.READ, offset: 0, length: DEVICE_BYTES });
  const events = await runInMemory(inputOf(Buffer.concat([handshakeFor('structured'), read])));
  t.ok(events.includes('option 7 1'), 'GO was acknowledged');
  t.equal(events.at(-2), `structured ${Cmd.READ} 0 0 1 0`);
  t.equal(events.at(-1), 'session open');
});

/** The server as it would be with a mistake in it; each returns what repairs it. */
const MISTAKES: readonly (readonly [title: string, break_: () => () => void])[] = [
  [
    'an error that is another one',
    () => {
      const { plain } = Replies.prototype;
      Replies.prototype.plain = function (to, errno) {
        plain.call(this, to, errno === constants.errno.EINVAL ? constants.errno.EIO : errno);
      };
      return () => {
        Replies.prototype.plain = plain;
      };
    },
  ],
  [
    'data that is said to be a hole',
    () => {
      const { extent } = MemoryBackend.prototype;
      MemoryBackend.prototype.extent = function (offset, length) {
        return -Math.abs(extent.call(this, offset, length));
      };
      return () => {
        MemoryBackend.prototype.extent = extent;
      };
    },
  ],
  [
    'a write that is not done',
    () => {
      const { write } = MemoryBackend.prototype;
      MemoryBackend.prototype.write = () => 0;
      return () => {
        MemoryBackend.prototype.write = write;
      };
    },
  ],
  [
    'a reply that is forgotten while the device is frozen',
    () => {
      const { serve } = Session.prototype;
      Session.prototype.serve = function (input, at, end) {
        const served = serve.call(this, input, at, end);
        return this.status === Status.PARKED ? end : served;
      };
      return () => {
        Session.prototype.serve = serve;
      };
    },
  ],
];

for (const [title, breakIt] of MISTAKES) {
  t.test(`fuzzing notices ${title}`, async (t) => {
    const repair = breakIt();
    try {
      const corpus = seedInputs();
      using fuzzer = new Fuzzer({ seed: 5, budget: 60_000, mostFindings: 1, corpus, target: runInMemory });
      t.ok((await fuzzer.run()).findings.length > 0);
    } finally {
      repair();
    }
  });
}
