/** Where a daemon listens whose socket nobody has named. */

import { readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { CONTROL_SOCKET, defaultRunDirectory, RECORD_PREFIX } from './run-directory.js';

/** A control socket that a daemon may have, and what is there. */
export interface Place {
  readonly path: string;
  readonly found: 'listening' | 'nobody' | 'nothing' | 'not-allowed' | 'of-a-stranger';
}

const WORDS: Readonly<Record<Place['found'], string>> = {
  listening: 'a daemon',
  nobody: 'a socket that nobody listens on',
  nothing: 'nothing',
  'not-allowed': 'not allowed to look',
  'of-a-stranger': 'a socket of another user',
};

export const placeText = ({ path, found }: Place): string => `${path}: ${WORDS[found]}`;

/**
 * The default place first, then the system's, those of the user, whichever else has a socket of the usual name, and what
 * daemons have recorded of themselves.
 */
export function daemonPlaces(
  env: Readonly<Record<string, string | undefined>> = process.env,
  uid: number = process.getuid?.() ?? 0,
): readonly Place[] {
  const { listening, recorded } = listeningSockets();
  const usual = [
    defaultRunDirectory(env, uid),
    '/run/nbdloop',
    ...(env.XDG_RUNTIME_DIR === undefined ? [] : [join(env.XDG_RUNTIME_DIR, 'nbdloop')]),
    `/run/user/${uid}/nbdloop`,
    `/tmp/nbdloop-${uid}`,
  ].map((directory) => join(directory, CONTROL_SOCKET));
  const others = [...listening].filter(
    (path) => basename(path) === CONTROL_SOCKET && basename(dirname(path)).startsWith('nbdloop'),
  );
  return [...new Set([...usual, ...others, ...recorded])].map((path) => ({
    path,
    found: lookAt(path, listening, uid),
  }));
}

/**
 * The one to talk to: the default one, unless nobody is there and exactly one other place has a daemon of ours or root's. A
 * socket of any other user is never taken: whoever made it would be told which files are meant, and believed.
 */
export function chooseDaemon(places: readonly Place[]): string {
  const [first] = places;
  const there = places.filter(({ found }) => found === 'listening');
  if (first === undefined || first.found === 'listening' || there.length !== 1) return first?.path ?? '';
  return there[0]?.path ?? first.path;
}

function lookAt(path: string, listening: ReadonlySet<string>, uid: number): Place['found'] {
  try {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found === undefined) return 'nothing';
    if (!found.isSocket() || !listening.has(path)) return 'nobody';
    return found.uid === 0 || found.uid === uid ? 'listening' : 'of-a-stranger';
  } catch {
    return 'not-allowed';
  }
}

interface Listening {
  /** Paths of sockets. */
  readonly listening: ReadonlySet<string>;
  /** Paths that abstract names hold: anybody can make one. */
  readonly recorded: readonly string[];
}

/** Unix sockets that listen in this network namespace: __SO_ACCEPTCON is 0x10000 (proc(5)). */
function listeningSockets(): Listening {
  let table = '';
  try {
    table = readFileSync('/proc/net/unix', 'utf8');
  } catch {
    // Without /proc the default place is all there is.
  }
  const names = table.split('\n').flatMap((line) => {
    const [, flags, name] = /^\S+ \S+ \S+ (\S+) \S+ \S+ +\d+ (.+)$/.exec(line) ?? [];
    return name !== undefined && (Number.parseInt(flags ?? '0', 16) & 0x10000) !== 0 ? [name] : [];
  });
  const record = `@${RECORD_PREFIX}/`;
  return {
    listening: new Set(names.filter((name) => name.startsWith('/'))),
    // Some releases of Node fill a name up with zeroes, which are shown as @.
    recorded: names.flatMap((name) =>
      name.startsWith(record) ? [name.slice(record.length - 1).replace(/@+$/, '')] : [],
    ),
  };
}
