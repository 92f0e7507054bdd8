/** The run directory, and the daemons that run. */

import { accessSync, constants, type Stats, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { daemonPlaces, placeText } from '../control/find-daemon.js';
import { defaultRunDirectory } from '../control/run-directory.js';
import { bad, type Finding, good, note } from './finding.js';

const OTHER_PLACES = 'name other places with --unix and --control';

export function checkRunDirectory(directory: string = defaultRunDirectory()): Finding[] {
  let found: Stats | undefined;
  try {
    found = statSync(directory, { throwIfNoEntry: false });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return [bad('run directory', `${directory} can't be used (${code})`, OTHER_PLACES)];
  }
  if (found === undefined) {
    try {
      accessSync(dirname(directory), constants.W_OK);
      return [good('run directory', `${directory} will be made`)];
    } catch {
      return [bad('run directory', `${directory} can't be made`, OTHER_PLACES)];
    }
  }
  if (found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o022) === 0) {
    return [good('run directory', directory)];
  }
  return [
    bad(
      'run directory',
      `${directory} is not ours alone`,
      'remove it, or name other places with --unix and --control',
    ),
  ];
}

export function checkDaemons(): Finding[] {
  const places = daemonPlaces();
  const running = places.filter(({ found }) => found === 'listening' || found === 'of-a-stranger');
  if (running.length === 0) {
    return [
      note(
        'daemon',
        `none runs (${places.map(placeText).join('; ')})`,
        'start nbdloopd, or nbdloop serve FILE',
      ),
    ];
  }
  if (running.length === 1) return running.map((place) => good('daemon', placeText(place)));
  const says = `several run: ${running.map(placeText).join('; ')}`;
  return [note('daemon', says, 'say which one is meant: --control SOCKET, or NBDLOOP_CONTROL')];
}
