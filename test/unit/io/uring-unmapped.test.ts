/**
 * A ring that the kernel makes, but whose memory it does not map, as where memory that may be locked is short. Refused
 * for real: this process can't have it back, so the file stands alone.
 */
import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import { Uring } from '../../../driver/io/uring.js';
import { openDataPath } from '../../../driver/queue/queue-rq.js';
import { skipWithoutUring } from '../../helpers/rings.js';
import { ENOMEM, MMAP, refuseCalls } from '../../helpers/seccomp.js';

const OFFSET = 5;
/** `IORING_OFF_SQES`, where the queue of what is submitted lies: the second of the two mappings. */
const SQES = 0x10000000;

const mappedRings = (): number => readFileSync('/proc/self/maps', 'utf8').split('[io_uring]').length - 1;
const openFiles = (): number => readdirSync('/proc/self/fd').length;

t.test(
  'a ring whose memory is not mapped is undefined, and leaves nothing',
  {
    skip: skipWithoutUring(),
  },
  async (t) => {
    const [files, mapped] = [openFiles(), mappedRings()];
    refuseCalls({ call: MMAP, argument: OFFSET, is: SQES, errno: ENOMEM });
    t.equal(Uring.open(8), undefined, 'no ring');
    t.strictSame([openFiles(), mappedRings()], [files, mapped], 'no descriptor, no mapping');
    t.equal(openDataPath(0).completions, undefined, 'and a thread serves without');
  },
);
