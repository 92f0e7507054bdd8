/** The daemon on each Node in turn, in one guest: attached, verified, crashed and taken over from under load. */
import t from 'tap';
import { skipBecause } from '../helpers/tools.js';
import { type NodeRelease, nodeRelease, OTHER_MAJORS, ownNodeArch } from '../runner/node-releases.js';
import { skipUnlessQemu } from '../vm/guest-available.js';
import { type GuestTest, guestTests } from '../vm/guest-tests.js';
import { KILLED_AND_REPLACED, UNDER_FIO } from '../vm/restart-scripts.js';

t.setTimeout(1_600_000);

/** The functions of `GUEST_DAEMON` start what NODE names. */
const useNode = ({ program, version }: NodeRelease): string => `
cp --remove-destination ${program} /run/program/node
[ "$("$NODE" -p process.version)" = ${version} ]
`;

const on = (release: NodeRelease, test: GuestTest): GuestTest => ({
  ...test,
  title: `Node ${release.version}: ${test.title}`,
  script: `${useNode(release)}\n${test.script}`,
});

const noGuest = await skipUnlessQemu('fio', 'nbd-client', 'curl');
const tests: GuestTest[] = [];
for (const major of OTHER_MAJORS) {
  try {
    const release = await nodeRelease(major, ownNodeArch());
    tests.push(on(release, KILLED_AND_REPLACED));
  } catch (error) {
    t.test(`Node ${major}`, { skip: skipBecause((error as Error).message) }, async () => {});
  }
}

t.test('each Node in a kernel with two processors', { skip: tests.length === 0 ? 'no Node' : noGuest }, (t) =>
  guestTests(t, tests, { before: UNDER_FIO }),
);
