/** `npm run stress -- [--seconds N] [--seed N] [--clients N] [--controllers N]`: a storm as long as one likes. */
import { parseArgs } from 'node:util';
import { judge } from './judge.js';
import { storm } from './storm.js';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 32) },
    clients: { type: 'string', default: '12' },
    controllers: { type: 'string', default: '6' },
  },
});
const options = {
  seconds: Number(values.seconds),
  seed: Number(values.seed),
  clients: Number(values.clients),
  controllers: Number(values.controllers),
};
console.log(`seed ${options.seed}, ${options.seconds} s`);
const aftermath = await storm({ ...options, progress: (text) => console.log(text) });
console.log(String(aftermath.tally));
const counts = aftermath.descriptors.map((kinds) => Object.values(kinds).reduce((a, b) => a + b, 0));
console.log(`descriptors ${counts.join(' -> ')}, resident ${aftermath.resident.join(' -> ')} bytes`);
const faults = judge(aftermath);
for (const fault of faults) console.error(fault);
console.log(faults.length === 0 ? 'no fault' : `${faults.length} faults`);
process.exitCode = faults.length === 0 ? 0 : 1;
