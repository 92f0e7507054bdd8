import t from 'tap';
import {
  attributesIn,
  findAttribute,
  nestedAttribute,
  u32Attribute,
} from '../../../driver/kernel/netlink/attributes.js';
import { encodeRequest, messagesIn } from '../../../driver/kernel/netlink/message.js';
import {
  decodeFamily,
  decodeStatus,
  encodeFamilyName,
  encodeIndex,
  encodeSettings,
  indexIn,
  NbdCommand,
} from '../../../driver/kernel/netlink/nbd.js';

/** The bytes below were written by hand after linux/netlink.h, for a little-endian machine. */
const skip = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1 ? false : 'not a little-endian machine';
const hex = (bytes: Buffer): string => bytes.toString('hex');

t.test('the question for a family is what the header files say', { skip }, async (t) => {
  const request = encodeRequest({ family: 0x10, command: 3, sequence: 7, attributes: encodeFamilyName() });
  t.equal(
    hex(request),
    ['1c000000', '1000', '0500', '07000000', '00000000', '0301', '0000', '0800', '0200', '6e626400'].join(''),
  );
});

t.test('CONNECT carries its settings, padded, with sockets nested twice', { skip }, async (t) => {
  const bytes = encodeSettings({
    index: 3,
    backend: 'ab',
    size: 2 ** 33,
    disconnectOnClose: true,
    sockets: [9],
  });
  t.equal(
    hex(bytes),
    [
      ...['0800', '0100', '03000000'],
      ...['0c00', '0200', '0000000002000000'],
      ...['0c00', '0600', '0200000000000000'],
      ...['0700', '0a00', '61620000'],
      ...['1000', '0700', '0c00', '0100', '0800', '0100', '09000000'],
    ].join(''),
  );
});

t.test('what is not set is not sent, and off is not the same as absent', async (t) => {
  const quiet = encodeSettings({ index: 0, backend: 'x' });
  t.strictSame(
    [...attributesIn(quiet)].map(({ type }) => type),
    [1, 10],
  );
  const off = findAttribute(encodeSettings({ index: 0, backend: 'x', disconnectOnClose: false }), 6);
  t.strictSame(off, Buffer.alloc(8));
});

t.test('an acknowledgement and a refusal are told apart, in one datagram', { skip }, async (t) => {
  const acknowledged = Buffer.from(
    '240000000200000001000000000000000000000000000000000000000000000000000000',
    'hex',
  );
  const refused = Buffer.from(`24000000020000000200000000000000f0ffffff${'00'.repeat(16)}`, 'hex');
  const messages = [...messagesIn(Buffer.concat([acknowledged, refused]))];
  t.strictSame(
    messages.map(({ sequence, errno }) => [sequence, errno]),
    [
      [1, 0],
      [2, 16],
    ],
  );
});

t.test('a message that is cut anywhere is never read past its end', async (t) => {
  const whole = encodeRequest({
    family: 30,
    command: NbdCommand.LINK_DEAD,
    sequence: 1,
    attributes: encodeIndex(5),
  });
  for (let length = 0; length < whole.length; length++) {
    t.strictSame([...messagesIn(whole.subarray(0, length))], [], `${length} bytes`);
  }
  const [message] = messagesIn(whole);
  t.equal(message && indexIn(message.attributes), 5);
  t.equal(message?.command, NbdCommand.LINK_DEAD);
});

t.test('a family without the group, and a status of two devices', { skip }, async (t) => {
  t.strictSame(decodeFamily(Buffer.from('060001001c000000', 'hex')), { id: 28, group: undefined });
  t.equal(decodeFamily(Buffer.alloc(0)), undefined);
  const device = (index: number, connected: string): Buffer =>
    nestedAttribute(1, [u32Attribute(1, index), Buffer.from(`05000200${connected}000000`, 'hex')]);
  const list = nestedAttribute(9, [device(0, '01'), device(4, '00')]);
  t.strictSame(decodeStatus(list), [
    { index: 0, connected: true },
    { index: 4, connected: false },
  ]);
});
