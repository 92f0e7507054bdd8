/** `npm run kill -- [--rounds N] [--seed N]`: daemons killed at any moment, as often as one likes. */
import { parseArgs } from 'node:util';
import { killRounds } from './rounds.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '300' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 32) },
  },
});
const options = { rounds: Number(values.rounds), seed: Number(values.seed) };
console.log(`seed ${options.seed}, ${options.rounds} rounds`);
const { faults, counts, writes } = await killRounds({ ...options, progress: (text) => console.log(text) });
console.log(`${writes} writes; ${[...counts].map(([what, count]) => `${what}: ${count}`).join(', ')}`);
for (const fault of faults) console.error(fault);
console.log(faults.length === 0 ? 'no fault' : `${faults.length} faults`);
process.exitCode = faults.length === 0 ? 0 : 1;
