/** The handshake is a stream of bytes: where it is cut into pieces means nothing, where it ends means goodbye. */

import fc from 'fast-check';
import t, { type Test } from 'tap';
import { Info, Opt } from '../../../server/wire/constants.js';
import { contextData, handshake, infoData, option } from '../../helpers/handshake.js';

const CONVERSATION = Buffer.concat([
  Buffer.from([0, 0, 0, 3]),
  option(4711, Buffer.from('what is this')),
  option(Opt.STRUCTURED_REPLY),
  option(Opt.LIST),
  option(Opt.SET_META_CONTEXT, contextData('loop1', ['base:allocation', 'nbdloop:dirty'])),
  option(Opt.INFO, infoData('nope')),
  option(Opt.GO, infoData('loop1', [Info.NAME, Info.BLOCK_SIZE])),
  Buffer.from('the first request'),
]);
const HANDSHAKE_BYTES = CONVERSATION.length - 'the first request'.length;

/** What the server says to the whole conversation when it comes in these pieces, and how it ends. */
const converse = async (t: Test, pieces: Buffer[]) => {
  const { client, outcome, exports } = handshake(t);
  for (const piece of pieces) {
    client.send(piece);
    await new Promise(setImmediate);
  }
  const ending = await outcome;
  await new Promise(setImmediate);
  const leftover = ending.kind === 'transmission' ? ending.leftover.toString() : undefined;
  return { said: client.unread.toString('hex'), kind: ending.kind, leftover, exports };
};

const split = (cuts: number[]): Buffer[] =>
  [...cuts, CONVERSATION.length].map((end, index) => CONVERSATION.subarray(cuts[index - 1] ?? 0, end));

t.test('split in two at each byte of the handshake, it ends the same', async (t) => {
  const whole = await converse(t, [CONVERSATION]);
  t.equal(whole.kind, 'transmission');
  t.equal(whole.leftover, 'the first request');
  for (let at = 1; at < HANDSHAKE_BYTES; at++) {
    const { said, kind } = await converse(t, split([at]));
    if (said !== whole.said || kind !== 'transmission') t.fail(`split at ${at}`);
  }
});

t.test('split anywhere into any number of pieces, it ends the same', async (t) => {
  const { said } = await converse(t, [CONVERSATION]);
  const cuts = fc.uniqueArray(fc.integer({ min: 1, max: HANDSHAKE_BYTES - 1 }), { maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(cuts, async (at) => {
      const pieces = split(at.sort((a, b) => a - b));
      return (await converse(t, pieces)).said === said;
    }),
    { numRuns: 40 },
  );
});

t.test('byte by byte, it ends the same', async (t) => {
  const { said } = await converse(t, [CONVERSATION]);
  const bytes = [...CONVERSATION.subarray(0, HANDSHAKE_BYTES)].map((byte) => Buffer.from([byte]));
  t.equal((await converse(t, bytes)).said, said);
});

t.test('cut off at each byte, it is a clean end and nothing stays open', async (t) => {
  for (let length = 0; length < HANDSHAKE_BYTES; length++) {
    const { client, outcome, exports } = handshake(t);
    client.send(CONVERSATION.subarray(0, length));
    client.stream.end();
    const { kind } = await outcome;
    if (kind !== 'closed') t.fail(`cut at ${length}: ${kind}`);
    if (exports[1].opened !== 0) t.fail(`cut at ${length}: opened`);
  }
});

t.test('a flipped bit anywhere neither crashes the server nor leaves an export open', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.nat(HANDSHAKE_BYTES * 8 - 1), async (bit) => {
      const bytes = Buffer.from(CONVERSATION);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const { client, outcome, exports } = handshake(t);
      client.send(bytes);
      client.stream.end();
      const ending = await outcome;
      const held = exports[0].opened + exports[1].opened - exports[0].released - exports[1].released;
      return held === (ending.kind === 'transmission' ? 1 : 0);
    }),
    { numRuns: 300 },
  );
});
