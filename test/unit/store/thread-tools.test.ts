import { readFileSync } from 'node:fs';
import t from 'tap';
import { openThreadTools } from '../../../driver/store/thread-tools.js';
import { openFiles } from '../../helpers/open-files.js';
import { skipWithoutUring } from '../../helpers/rings.js';

/** What the kernel shares with this process: descriptors and mappings of rings. */
const shared = (): number => {
  const maps = readFileSync('/proc/self/maps', 'latin1').split('\n');
  return [...openFiles(), ...maps].filter((line) => /\[io_uring\]|\/\[aio\]/.test(line)).length;
};

t.test(
  'a thread that ends leaves nothing of its rings in the process',
  { skip: skipWithoutUring() },
  async (t) => {
    const before = shared();
    const tools = openThreadTools();
    t.ok(shared() >= before + 3, 'a descriptor, and two mappings');
    tools.close();
    t.equal(shared(), before);
  },
);
