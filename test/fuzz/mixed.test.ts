import t from 'tap';
import { seedFrom } from '../helpers/random.js';
import { skipUnless } from '../helpers/tools.js';
import { fuzzMixed } from './mixed.js';

t.setTimeout(240_000);

const seed = seedFrom('FUZZ_SEED');

t.test(
  '30 s of 64 outstanding requests of all kinds, in every reply mode, plain and over TLS: each byte is right',
  { skip: skipUnless('openssl') },
  async (t) => {
    t.comment(`FUZZ_SEED=${seed}`);
    const { findings, requests, kinds } = await fuzzMixed({ seed, budget: 30_000 });
    t.strictSame(findings, []);
    t.ok(requests > 150, 'it ran', { requests });
    t.ok(kinds.size > 30, 'with many kinds', { kinds: kinds.size });
  },
);
