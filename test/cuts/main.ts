/**
 * `npm run cuts -- [--setting ext4-ordered|ext4-writeback|xfs|sqlite|requests] [--cuts N] [--seed S] [--guest]`: power cuts under what
 * trusts a disk, on this machine's kernel, over nbdfuse; `requests`: under clients without a kernel. With `--guest` in a virtual
 * machine, there under the kernel's nbd driver: `--attach DIRECTORY`, with the daemon that serves there, mounted in that directory.
 */
import { parseArgs } from 'node:util';
import { ControlClient } from '../../driver/control/client.js';
import { start } from '../helpers/process.js';
import { makeSparseFile } from '../helpers/temp.js';
import { AttachedDisk } from './cut-disk.js';
import { cutsOverFuse } from './over-fuse.js';
import { requestCuts } from './requests.js';
import { cutRounds, type Rounds, type RoundsResult, SETTINGS, type SettingName } from './rounds.js';

const { values } = parseArgs({
  options: {
    setting: { type: 'string', multiple: true },
    cuts: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    attach: { type: 'string' },
    guest: { type: 'boolean', default: false },
  },
});

/** In place of a setting: no file system, and no kernel. */
const REQUESTS = 'requests';
type Name = SettingName | typeof REQUESTS;

const all = [...Object.keys(SETTINGS), REQUESTS] as readonly Name[];
const unknown = (values.setting ?? []).filter((name) => !all.some((one) => one === name));
if (unknown.length > 0) throw new Error(`no ${unknown.join(', ')} here; there are ${all.join(', ')}`);
const names = all.filter((name) => values.setting?.includes(name) ?? true);
if (values.guest) await inGuest(names.filter((name) => name !== REQUESTS));
else for (const name of names) await cutsUnder(name);

async function cutsUnder(name: Name): Promise<void> {
  const began = Date.now();
  const progress = (text: string): void => console.log(`${name}: ${text}`);
  const { cuts, steps, writes, kept, torn, wrong } = await resultOf(name, progress);
  console.log(
    `${name}: ${cuts} cuts in ${Math.round((Date.now() - began) / 1000)} s, ${steps} steps; ` +
      `of ${writes} writes under way ${kept} were kept, ${torn} torn: ${wrong.length === 0 ? 'all is well' : 'WRONG'}`,
  );
  for (const line of wrong) console.log(line);
  if (wrong.length > 0) process.exitCode = 1;
}

function resultOf(name: Name, progress: (text: string) => void): Promise<RoundsResult> {
  const rounds = { cuts: Number(values.cuts), seed: Number(values.seed), progress };
  if (name === REQUESTS) return requestCuts(rounds);
  if (values.attach !== undefined) return attached({ ...rounds, setting: name }, values.attach);
  return cutsOverFuse({ ...rounds, setting: name });
}

async function attached(
  rounds: Pick<Rounds, 'setting' | 'cuts' | 'seed' | 'progress'>,
  directory: string,
): Promise<RoundsResult> {
  const client = new ControlClient(process.env.NBDLOOP_CONTROL ?? '');
  const file = makeSparseFile(`/run/${rounds.setting}.img`, SETTINGS[rounds.setting].bytes);
  const { number } = await client.find({ file, volatileCache: true });
  await using disk = new AttachedDisk(client, number);
  const result = await cutRounds({ ...rounds, disk, directory });
  await client.clear(number);
  return result;
}

/** As the test of it does, with as many as were asked for. */
async function inGuest(settings: readonly string[]): Promise<void> {
  const { cuts, seed } = values;
  const running = start(process.execPath, ['dist/test/vm/power-cut.test.js'], {
    env: { NBDLOOP_CUTS: cuts, NBDLOOP_SEED: seed, NBDLOOP_SETTING: settings.join(',') },
    onOutput: (text) => process.stdout.write(text),
  });
  const { status } = await running.ended;
  process.exitCode = status === 0 ? 0 : 1;
}
