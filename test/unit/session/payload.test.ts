import fc from 'fast-check';
import t from 'tap';
import { Payload } from '../../../server/session/payload.js';
import { Request } from '../../../server/wire/request.js';

function payload(offset: number, length: number, errno = 0): Payload {
  const request = new Request();
  request.offset = offset;
  request.length = length;
  const made = new Payload();
  made.begin(request, errno);
  return made;
}

t.test('pieces add up to the payload and end on pages, however it arrives', async () => {
  const arrivals = fc.array(fc.nat(20_000), { minLength: 1, maxLength: 50 });
  fc.assert(
    fc.property(fc.nat(10_000), fc.integer({ min: 1, max: 100_000 }), arrivals, (offset, length, pieces) => {
      const made = payload(offset, length);
      let arrived = 0;
      let taken = 0;
      for (let turn = 0; taken < length && turn < 1000; turn++) {
        arrived = Math.min(length, arrived + (pieces[turn % pieces.length] ?? 0) + 128);
        const piece = made.piece(arrived - taken);
        if (piece < 0 || piece > arrived - taken) return false;
        made.advance(piece);
        taken += piece;
        if (taken < length && piece > 0 && (offset + taken) % 4096 !== 0) return false;
        if (arrived - taken >= 4096) return false;
      }
      return made.remaining === 0 && made.position === offset + length;
    }),
  );
});

t.test('a payload that is drained is taken as it comes', async (t) => {
  const made = payload(0, 10_000, 22);
  t.equal(made.piece(17), 17);
  made.advance(17);
  t.equal(made.piece(20_000), 9983);
});
