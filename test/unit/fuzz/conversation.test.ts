import t from 'tap';
import { Opt, Rep } from '../../../server/wire/constants.js';
import { encodeGreeting, encodeOptionReply } from '../../../server/wire/option.js';
import { judgeHandshake } from '../../fuzz/conversation.js';
import { infoData, option, u32 } from '../../helpers/handshake.js';

const said = (...options: Buffer[]): Buffer => Buffer.concat([u32(3), ...options]);
const answered = (...replies: Buffer[]): Buffer => Buffer.concat([encodeGreeting(), ...replies]);
const ack = (number: number): Buffer => encodeOptionReply(number, Rep.ACK);

t.test('a handshake that leads to transmission is followed to its last byte', async (t) => {
  const sent = said(option(Opt.STRUCTURED_REPLY), option(Opt.GO, infoData('loop0')));
  const received = answered(ack(Opt.STRUCTURED_REPLY), ack(Opt.GO));
  const { end, mode, ...lengths } = judgeHandshake(
    Buffer.concat([sent, Buffer.from('a request')]),
    Buffer.concat([received, Buffer.from('a reply')]),
  );
  t.strictSame([end, mode], ['transmission', 'structured']);
  t.strictSame([lengths.sent, lengths.received], [sent.length, received.length]);
});

t.test('what a server may not do is noticed', async (t) => {
  const list = said(option(Opt.LIST));
  for (const [why, sent, received] of [
    [/no greeting/, list, Buffer.from('NBDMAGIC')],
    [/a reply to option/, list, answered(ack(Opt.GO))],
    [/no final reply/, list, answered(encodeOptionReply(Opt.LIST, Rep.SERVER, u32(0)))],
    [/half a reply/, list, answered(ack(Opt.LIST).fill(9, 19))],
    [/reply type/, list, answered(encodeOptionReply(Opt.LIST, 77))],
    [/no magic/, list, answered(Buffer.alloc(20))],
    [/behind its end/, list, answered(ack(Opt.LIST), ack(Opt.LIST))],
    [/behind its end/, said(option(Opt.LIST).subarray(0, 15)), answered(ack(Opt.LIST))],
    [/behind its end/, u32(8), answered(ack(Opt.LIST))],
    [/half a reply to EXPORT_NAME/, said(option(Opt.EXPORT_NAME)), answered(Buffer.alloc(9))],
  ] as const) {
    t.throws(() => judgeHandshake(sent, received), { message: why });
  }
});
