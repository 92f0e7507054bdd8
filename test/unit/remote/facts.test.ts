import t from 'tap';
import {
  difference,
  type ExportFacts,
  flagsForKernel,
  isReadOnly,
  logicalBlock,
  uuidIn,
} from '../../../driver/remote/facts.js';
import { TransmissionFlag as Flag } from '../../../server/wire/constants.js';

const UUID = '01234567-89ab-cdef-0123-456789abcdef';
const OTHER = 'ffffffff-89ab-cdef-0123-456789abcdef';
const FACTS: ExportFacts = {
  size: 1 << 20,
  flags: Flag.HAS_FLAGS | Flag.SEND_FLUSH | Flag.SEND_FUA | Flag.SEND_TRIM,
  minimumBlock: 1,
  maximumBlock: 1 << 25,
  uuid: null,
  description: null,
};

t.test('the same export, also when its server has learned something', async (t) => {
  t.equal(difference(FACTS, FACTS), undefined);
  t.equal(difference(FACTS, { ...FACTS, flags: FACTS.flags | Flag.SEND_WRITE_ZEROES }), undefined);
  t.equal(difference(FACTS, { ...FACTS, maximumBlock: 1 << 26, minimumBlock: 512 }), undefined);
});

t.test('another export, and what tells it', async (t) => {
  const cases: readonly (readonly [Partial<ExportFacts>, string])[] = [
    [{ size: FACTS.size + 512 }, 'it has 1049088 bytes, and had 1048576'],
    [{ size: FACTS.size - 512 }, 'it has 1048064 bytes'],
    [{ flags: FACTS.flags & ~Flag.SEND_FUA }, 'no longer offers FUA'],
    [{ flags: FACTS.flags | Flag.READ_ONLY }, 'it is read-only'],
    [{ minimumBlock: 4096 }, 'wants requests of 4096 bytes'],
    [{ maximumBlock: 1 << 16 }, 'takes requests of 65536 bytes at most'],
    [{ uuid: UUID }, `its uuid is ${UUID}, and was not told`],
  ];
  for (const [change, why] of cases) t.match(difference(FACTS, { ...FACTS, ...change }), why, why);
});

t.test("with nbdloop's mark it may have grown, and nothing else will do", async (t) => {
  const marked = { ...FACTS, uuid: UUID };
  t.equal(difference(marked, { ...marked, size: FACTS.size * 2 }), undefined);
  t.match(difference(marked, { ...marked, size: FACTS.size / 2 }), 'bytes, and had');
  t.match(difference(marked, { ...marked, uuid: OTHER }), `its uuid is ${OTHER}`);
  t.match(difference(marked, FACTS), 'its uuid is not told');
});

t.test('the mark is at the end of a description, wherever else the word stands', async (t) => {
  t.equal(uuidIn(`loop0: /a; uuid=${OTHER}; uuid=${UUID}`), UUID);
  t.equal(uuidIn(`loop0: /a; uuid=${OTHER} (deleted)`), null);
  t.equal(uuidIn(undefined), null);
});

t.test('what the kernel is told', async (t) => {
  t.equal(logicalBlock(FACTS), 512);
  t.equal(logicalBlock({ ...FACTS, minimumBlock: 4096 }), 4096);
  t.equal(flagsForKernel(FACTS, false), FACTS.flags);
  t.ok(isReadOnly({ ...FACTS, flags: flagsForKernel(FACTS, true) }));
});
