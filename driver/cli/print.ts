/** Standard output and error get the very bytes of a name, whatever they are. */

import { nameToBytes } from '../file-name.js';

export const print = (text: string): void => {
  process.stdout.write(nameToBytes(text));
};

/** The same of what may be much: resolves when it was taken. */
export const printSlowly = (text: string): Promise<void> =>
  new Promise((resolve, reject) => {
    process.stdout.write(nameToBytes(text), (error) => (error ? reject(error) : resolve()));
  });
