/**
 * `npm run kill -- [--overlays] [--rounds N] [--seed N]`: daemons killed at any moment, as often as one likes; with `--overlays`
 * over deltas whose power is cut, too.
 */
import { parseArgs } from 'node:util';
import { crashRounds } from '../crash/rounds.js';
import { killRounds } from './rounds.js';

const { values } = parseArgs({
  options: {
    overlays: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '300' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 32) },
  },
});
const options = { rounds: Number(values.rounds), seed: Number(values.seed) };
console.log(`seed ${options.seed}, ${options.rounds} rounds`);
const rounds = values.overlays ? crashRounds : killRounds;
const { faults, counts, requests } = await rounds({ ...options, progress: (text) => console.log(text) });
console.log(`${requests} requests; ${[...counts].map(([what, count]) => `${what}: ${count}`).join(', ')}`);
for (const fault of faults) console.error(fault);
console.log(faults.length === 0 ? 'no fault' : `${faults.length} faults`);
process.exitCode = faults.length === 0 ? 0 : 1;
