import t from 'tap';
import { Cmd } from '../../../server/wire/constants.js';
import { withDistinctCookies } from '../../fuzz/cookies.js';
import { decodeAsks, encodeAsk } from '../../helpers/transmission-client.js';

for (const mode of ['simple', 'extended'] as const) {
  t.test(
    `${mode}: of requests that share a cookie the later ones get another; nothing else changes`,
    async (t) => {
      const asks = [
        { type: Cmd.WRITE, cookie: 5n, offset: 512, payload: Buffer.alloc(512, 1) },
        { type: Cmd.FLUSH, cookie: 6n },
        { type: Cmd.READ, cookie: 5n, offset: 0, length: 512 },
        { type: Cmd.READ, cookie: 5n, offset: 512, length: 512 },
      ];
      const half = encodeAsk(mode, { type: Cmd.READ, cookie: 5n }).subarray(0, 20);
      const stream = Buffer.concat([...asks.map((ask) => encodeAsk(mode, ask)), half]);
      const changed = withDistinctCookies(mode, stream);
      t.equal(changed.length, stream.length);
      const after = decodeAsks(mode, changed).asks;
      const cookies = after.map(({ cookie }) => cookie);
      t.strictSame(cookies.slice(0, 2), [5n, 6n], 'the first of them keeps it');
      t.equal(new Set(cookies).size, asks.length);
      t.strictSame(
        after.map((ask) => ({ ...ask, cookie: 0n })),
        decodeAsks(mode, stream).asks.map((ask) => ({ ...ask, cookie: 0n })),
      );
      t.ok(changed.subarray(-20).equals(half));
      t.ok(withDistinctCookies(mode, changed).equals(changed), 'what is distinct stays');
    },
  );
}
