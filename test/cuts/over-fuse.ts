/** Rounds of cuts on this machine's own kernel, with a daemon of their own. */
import { mkdirSync } from 'node:fs';
import type { ControlClient } from '../../driver/control/client.js';
import { Daemon } from '../helpers/daemon.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { FusedDisk } from './cut-disk.js';
import { cutRounds, type Rounds, type RoundsResult, SETTINGS } from './rounds.js';

export interface CutsOverFuse extends Pick<Rounds, 'setting' | 'cuts' | 'seed' | 'progress'> {
  /** Before each round, when the disk is mounted. */
  readonly before?: (client: ControlClient) => Promise<unknown>;
}

export async function cutsOverFuse({ before, ...rounds }: CutsOverFuse): Promise<RoundsResult> {
  using dir = new TempDir();
  const file = makeSparseFile(dir.file('disk'), SETTINGS[rounds.setting].bytes);
  const directory = dir.file('mnt');
  mkdirSync(directory);
  await using daemon = await Daemon.start({ args: ['--log-level', 'error'] });
  const { number } = await daemon.client.find({ file, volatileCache: true });
  await using disk = new FusedDisk(daemon.client, number, daemon.uri(`loop${number}`));
  return await cutRounds({
    ...rounds,
    ...{ disk, directory },
    ...(before === undefined ? {} : { before: () => before(daemon.client) }),
  });
}
