/** Standard output and error get the very bytes of a name, whatever they are. */

import { nameToBytes } from '../file-name.js';

export const print = (text: string): void => {
  process.stdout.write(nameToBytes(text));
};
