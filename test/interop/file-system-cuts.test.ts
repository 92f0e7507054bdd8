/** Power cuts under real file systems and SQLite, and programs that trust a disk too much. As many as one likes: `npm run cuts`. */
import t from 'tap';
import { cutsOverFuse } from '../cuts/over-fuse.js';
import type { SettingName } from '../cuts/rounds.js';
import { skipWithoutFuseDisk } from '../helpers/fuse-disk.js';
import { skipUnless } from '../helpers/tools.js';

const CUTS = Number(process.env.NBDLOOP_CUTS ?? 2);
const SEED = Number(process.env.NBDLOOP_SEED ?? 1);

t.setTimeout(240_000 + CUTS * 30_000);

const SETTINGS: readonly SettingName[] = ['ext4-ordered', 'ext4-writeback', 'xfs', 'sqlite'];
const skip =
  skipWithoutFuseDisk() || skipUnless('mkfs.ext4', 'e2fsck', 'mkfs.xfs', 'xfs_repair', 'sqlite3', 'stdbuf');

for (const setting of SETTINGS) {
  t.test(
    `${setting}: what was fsynced, or committed, is whole after each of ${CUTS} cuts`,
    { skip },
    async (t) => {
      const result = await cutsOverFuse({ setting, cuts: CUTS, seed: SEED });
      t.comment(JSON.stringify(result));
      t.strictSame(result.wrong, []);
      t.ok(result.steps > CUTS);
    },
  );
}

t.test('a disk that loses flushes is found out', { skip }, async (t) => {
  const { wrong, cuts } = await cutsOverFuse({
    setting: 'sqlite',
    cuts: 3,
    seed: SEED,
    before: (client) => client.setFaults(0, [{ kind: 'lost', operations: ['flush'] }]),
  });
  t.comment(`by cut ${cuts}: ${wrong.join('; ')}`);
  t.not(wrong.length, 0);
});
