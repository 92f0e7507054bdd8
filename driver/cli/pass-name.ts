/** Names for programs that are started: Node gives them words in UTF-8 only. */

import { closeSync, openSync } from 'node:fs';
import { absolutePath, nameToBytes, readableName } from '../file-name.js';

/** O_PATH of asm-generic/fcntl.h. */
const O_PATH = 0o10000000;
/** A descriptor that is inherited gets the number after standard input, output and errors. */
const FIRST_INHERITED = 3;

export interface PassedNames extends Disposable {
  readonly words: readonly string[];
  /** To be inherited, behind the three standard ones. */
  readonly descriptors: readonly number[];
}

/** A name that is no UTF-8 goes as a descriptor, which the other program finds in its own /proc/self/fd. */
export function passNames(names: readonly string[]): PassedNames {
  const descriptors: number[] = [];
  const close = (): void => descriptors.splice(0).forEach(closeSync);
  try {
    const words = names.map((name) => {
      if (readableName(name) === name) return name;
      descriptors.push(openSync(nameToBytes(absolutePath(name)), O_PATH));
      return `/proc/self/fd/${FIRST_INHERITED + descriptors.length - 1}`;
    });
    return { words, descriptors, [Symbol.dispose]: close };
  } catch (error) {
    close();
    throw error;
  }
}
