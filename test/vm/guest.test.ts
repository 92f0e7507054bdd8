import t, { type Test } from 'tap';
import { TempDir } from '../helpers/temp.js';
import { type GuestOptions, runGuest } from './guest.js';
import { skipUnlessQemu, skipUnlessUml } from './guest-available.js';
import { kernelComplaints } from './kernel-log.js';

t.setTimeout(300_000);

const SCRIPT = `
test -b /dev/nbd0
node -p '"node " + process.version'
echo "$GREETING"
exit 7
`;

async function runsAScript(t: Test, kernel: GuestOptions['kernel']): Promise<void> {
  using shared = new TempDir();
  const guest = await runGuest(shared, { kernel, script: SCRIPT, environment: { GREETING: "it's up" } });
  t.equal(guest.status, 7, 'exit status', { console: guest.console });
  t.match(guest.console, "it's up");
  t.match(guest.console, `node ${process.version}`);
  t.match(guest.kernelLog, 'Linux version');
  t.strictSame(kernelComplaints(guest.kernelLog), []);
}

t.test('a QEMU guest runs a script and hands out its exit status', { skip: await skipUnlessQemu() }, (t) =>
  runsAScript(t, 'qemu'),
);

t.test('a user-mode guest runs a script and hands out its exit status', { skip: skipUnlessUml() }, (t) =>
  runsAScript(t, 'uml'),
);

t.test('a guest that does not end is killed and has failed', { skip: skipUnlessUml() }, async (t) => {
  using shared = new TempDir();
  const guest = await runGuest(shared, { kernel: 'uml', script: 'sleep 1000', timeoutMs: 8000 });
  t.equal(guest.status, undefined);
  t.match(guest.console, 'took too long');
});

t.test('the kernel log is searched for complaints that no test provoked', async (t) => {
  const log = [
    '[    1.0] loop: module loaded',
    '[    2.0] I/O error, dev nbd0, sector 0 op 0x0:(READ)',
    '[    3.0] INFO: task fio:77 blocked for more than 30 seconds.',
  ].join('\n');
  t.equal(kernelComplaints(log).length, 2);
  t.strictSame(kernelComplaints(log, [/dev nbd0, sector 0/]), [
    '[    3.0] INFO: task fio:77 blocked for more than 30 seconds.',
  ]);
});
