/** `npm run demo:vm`: shows, in a real kernel, a file as /dev/nbd0. Exits 0 when everything held. */
import { installPackages, missingPackages } from '../runner/packages.js';
import { SUITES } from '../runner/suites.js';
import { skipUnlessQemu } from './guest-available.js';
import { kernelComplaints } from './kernel-log.js';
import {
  autoclearScenario,
  clearedBehindScenario,
  fileSystemScenario,
  fioScenario,
  type ScenarioOptions,
  type ScenarioResult,
} from './scenarios.js';

const ACTS: readonly [string, (options: ScenarioOptions) => Promise<ScenarioResult>][] = [
  ['A file system on /dev/nbd0, compared from outside', fileSystemScenario],
  ['fio on /dev/nbd0, verified', fioScenario],
  ['The file taken from under /dev/nbd0 by force, and given back', clearedBehindScenario],
  ['Autoclear: the last close lets the file go', autoclearScenario],
];

async function main(): Promise<boolean> {
  await installPackages(missingPackages(SUITES.filter(({ name }) => name === 'vm')));
  const reason = await skipUnlessQemu('nbd-client', 'fio', 'mkfs.ext4', 'e2fsck', 'debugfs');
  if (reason !== false) {
    console.error(`demo:vm cannot run here: ${reason}`);
    return false;
  }
  let allHeld = true;
  for (const [title, act] of ACTS) {
    console.log(`\n== ${title}`);
    const { guest, checks, provoked } = await act({ onConsole: (text) => process.stdout.write(text) });
    const verdicts: [string, boolean][] = [
      ['the script in the guest succeeded', guest.status === 0],
      ...Object.entries(checks),
      ["the guest kernel's log is clean", kernelComplaints(guest.kernelLog, provoked).length === 0],
    ];
    for (const [check, held] of verdicts) console.log(`${held ? 'yes' : 'NO '}  ${check}`);
    allHeld &&= verdicts.every(([, held]) => held);
  }
  return allHeld;
}

process.exitCode = (await main()) ? 0 : 1;
