import { constants } from 'node:os';
import t from 'tap';
import { wireErrno } from '../../../server/wire/errno.js';

t.test('errnos the protocol has go out as they are', async (t) => {
  for (const number of [0, 1, 5, 12, 22, 28, 75, 95, 108]) t.equal(wireErrno(number), number);
});

t.test('refusals to write are EPERM, lack of room is ENOSPC, as the protocol asks', async (t) => {
  const { EROFS, EACCES, EDQUOT, EFBIG } = constants.errno;
  t.equal(wireErrno(EROFS), 1);
  t.equal(wireErrno(EACCES), 1);
  t.equal(wireErrno(EDQUOT), 28);
  t.equal(wireErrno(EFBIG), 28);
});

t.test('every other errno is one of the nine the protocol allows', async (t) => {
  const allowed = new Set([0, 1, 5, 12, 22, 28, 75, 95, 108]);
  for (let number = 0; number < 4096; number++) {
    if (!allowed.has(wireErrno(number))) t.fail(`errno ${number} leaks as ${wireErrno(number)}`);
  }
  t.equal(wireErrno(constants.errno.EBADF), 5);
  t.equal(wireErrno(constants.errno.ENXIO), 5);
});
