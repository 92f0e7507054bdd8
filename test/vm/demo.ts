/** `npm run demo:vm`: shows, in a real kernel, a file as /dev/nbd0. Exits 0 when everything held. */
import { installPackages, missingPackages } from '../runner/packages.js';
import { SUITES } from '../runner/suites.js';
import { skipUnlessQemu } from './guest-available.js';
import { kernelComplaints } from './kernel-log.js';
import { scenarios } from './scenarios.js';

async function main(): Promise<boolean> {
  await installPackages(missingPackages(SUITES.filter(({ name }) => name === 'vm')));
  const reason = await skipUnlessQemu('nbd-client', 'fio', 'mkfs.ext4', 'e2fsck', 'debugfs');
  if (reason !== false) {
    console.error(`demo:vm cannot run here: ${reason}`);
    return false;
  }
  const { scenarios: all } = await scenarios({ onConsole: (text) => process.stdout.write(text) });
  let allHeld = true;
  for (const { result, checks } of all) {
    const { test, status, kernelLog } = result;
    console.log(`\n== ${test.title}`);
    const verdicts: [string, boolean][] = [
      ['the script in the guest succeeded', status === 0],
      ...Object.entries(checks),
      ["the guest kernel's log is clean", kernelComplaints(kernelLog, test.provoked).length === 0],
    ];
    for (const [check, held] of verdicts) console.log(`${held ? 'yes' : 'NO '}  ${check}`);
    allHeld &&= verdicts.every(([, held]) => held);
  }
  return allHeld;
}

process.exitCode = (await main()) ? 0 : 1;
