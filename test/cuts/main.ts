/**
 * `npm run cuts -- [--setting NAME] [--cuts N] [--seed N]`: as many power cuts as one likes, on this machine's kernel. In a guest:
 * `--attach DIRECTORY`, with the daemon that serves there and its kernel's nbd driver, mounted in that directory.
 */
import { parseArgs } from 'node:util';
import { ControlClient } from '../../driver/control/client.js';
import { makeSparseFile } from '../helpers/temp.js';
import { AttachedDisk } from './cut-disk.js';
import { cutsOverFuse } from './over-fuse.js';
import { cutRounds, SETTINGS, type SettingName } from './rounds.js';

const { values } = parseArgs({
  options: {
    setting: { type: 'string', multiple: true },
    cuts: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    attach: { type: 'string' },
  },
});
const isSetting = (name: string): name is SettingName => Object.hasOwn(SETTINGS, name);
const names = Object.keys(SETTINGS).filter(isSetting);
const unknown = (values.setting ?? []).filter((name) => !isSetting(name));
if (unknown.length > 0) throw new Error(`no ${unknown.join(', ')} here; there are ${names.join(', ')}`);

for (const setting of names.filter((name) => values.setting?.includes(name) ?? true)) {
  const began = Date.now();
  const rounds = {
    setting,
    cuts: Number(values.cuts),
    seed: Number(values.seed),
    progress: (text: string): void => console.log(`${setting}: ${text}`),
  };
  const result =
    values.attach === undefined ? await cutsOverFuse(rounds) : await attached(rounds, values.attach);
  const { cuts, steps, writes, kept, torn, wrong } = result;
  console.log(
    `${setting}: ${cuts} cuts in ${Math.round((Date.now() - began) / 1000)} s, ${steps} steps; ` +
      `of ${writes} writes under way ${kept} were kept, ${torn} torn: ${wrong.length === 0 ? 'all is well' : 'WRONG'}`,
  );
  for (const line of wrong) console.log(line);
  if (wrong.length > 0) process.exitCode = 1;
}

async function attached(
  rounds: Pick<Parameters<typeof cutRounds>[0], 'setting' | 'cuts' | 'seed' | 'progress'>,
  directory: string,
): ReturnType<typeof cutRounds> {
  const client = new ControlClient(process.env.NBDLOOP_CONTROL ?? '');
  const file = makeSparseFile(`/run/${rounds.setting}.img`, SETTINGS[rounds.setting].bytes);
  const { number } = await client.find({ file, volatileCache: true });
  await using disk = new AttachedDisk(client, number);
  const result = await cutRounds({ ...rounds, disk, directory });
  await client.clear(number);
  return result;
}
