import { type Duplex, duplexPair } from 'node:stream';
import t from 'tap';
import { LoopError } from '../../../driver/errno.js';
import { shakeHands } from '../../../driver/remote/handshake.js';
import { negotiate } from '../../../server/negotiation/negotiate.js';
import { DEFAULT_LIMITS } from '../../../server/negotiation/options.js';
import { FakeExport, fakeTable } from '../../helpers/fake-exports.js';
import { text, u16, u32 } from '../../helpers/handshake.js';

const GREETING = Buffer.concat([Buffer.from('NBDMAGICIHAVEOPT'), u16(3)]);
const u64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
};
const REPLY_MAGIC = Buffer.from('0003e889045565a9', 'hex');
const reply = (option: number, type: number, data = Buffer.alloc(0), length = data.length): Buffer =>
  Buffer.concat([REPLY_MAGIC, u32(option), u32(type), u32(length), data]);
const GO = 7;
const [ACK, INFO] = [1, 3];
const exportInfo = (size: bigint, flags: number): Buffer =>
  reply(GO, INFO, Buffer.concat([u16(0), u64(size), u16(flags)]));

const shake = (client: Duplex, exportName = 'disk') =>
  shakeHands(client, { exportName, signal: AbortSignal.timeout(30_000) });

/** A server that says its lines whatever it hears; returns what the client made of it, and what it said. */
async function told(...lines: readonly Buffer[]) {
  const [client, server] = duplexPair();
  const heard: Buffer[] = [];
  server.on('data', (bytes: Buffer) => heard.push(bytes));
  server.end(Buffer.concat(lines));
  const outcome = await shake(client).catch((error: unknown) => {
    if (error instanceof LoopError) return error;
    throw error;
  });
  return { outcome, heard: () => Buffer.concat(heard) };
}

t.test('with our own server', async (t) => {
  const [client, server] = duplexPair();
  const disk = new FakeExport('disk', {
    size: 12_345_678,
    blockSizes: { minimum: 512, preferred: 4096, maximum: 1 << 20 },
  });
  const served = negotiate(server, {
    exports: fakeTable(disk),
    tls: 'off',
    readOnly: false,
    contexts: [],
    limits: DEFAULT_LIMITS,
    draining: () => false,
    signal: AbortSignal.timeout(30_000),
  });
  t.match(await shake(client), { size: 12_345_678, minimumBlock: 512, maximumBlock: 1 << 20 });
  t.match(await served, { kind: 'transmission' });
});

t.test('what goes over the wire, byte by byte', async (t) => {
  const { outcome, heard } = await told(
    GREETING,
    exportInfo(1n << 20n, 0x4b),
    reply(GO, INFO, Buffer.concat([u16(9), u32(7)])),
    reply(GO, INFO, Buffer.concat([u16(2), Buffer.from('what a disk')])),
    reply(GO, ACK),
  );
  t.match(outcome, { size: 1 << 20, flags: 0x4b, minimumBlock: 1, description: 'what a disk', uuid: null });
  const data = Buffer.concat([text('disk'), u16(3), u16(1), u16(2), u16(3)]);
  t.equal(
    heard().toString('hex'),
    Buffer.concat([u32(3), Buffer.from('IHAVEOPT'), u32(GO), u32(data.length), data]).toString('hex'),
  );
});

t.test('a server that knows no GO is asked in the old way', async (t) => {
  const old = await told(GREETING, reply(GO, 0x80000001), u64(4096n), u16(1));
  t.match(old.outcome, { size: 4096, flags: 1 });
  const oldest = await told(
    Buffer.concat([Buffer.from('NBDMAGICIHAVEOPT'), u16(0)]),
    u64(4096n),
    u16(1),
    Buffer.alloc(124),
  );
  t.match(oldest.outcome, { size: 4096, flags: 1 });
});

t.test('refusals are told with their reason', async (t) => {
  const refused = async (type: number, words = '') =>
    (await told(GREETING, reply(GO, type, Buffer.from(words)))).outcome;
  t.match(await refused(0x80000006, 'sorry\u001b[2J'), {
    errno: 'ENOENT',
    message: /no export "disk" \("sorry \[2J"\)/,
  });
  t.match(await refused(0x80000005), { errno: 'EPERM', message: /nbds/ });
  t.match(await refused(0x80000002), { errno: 'EPERM' });
  t.match(await refused(0x80000007), { errno: 'ECONNABORTED' });
  t.match(await refused(0x8000ffff), { errno: 'EINVAL' });
});

t.test('what is no NBD server, or a broken one, is refused at once', async (t) => {
  const broken: readonly (readonly [string, Buffer[], string])[] = [
    ['SSH', [Buffer.from('SSH-2.0-OpenSSH_9.2\r\n')], 'EPROTO'],
    ['oldstyle', [Buffer.from('4e42444d4147494300004202818612530000000000100000', 'hex')], 'EPROTO'],
    ['a reply to something else', [GREETING, reply(6, ACK)], 'EPROTO'],
    ['an endless reply', [GREETING, reply(GO, INFO, Buffer.alloc(4), 1 << 30)], 'EPROTO'],
    ['a short one', [GREETING, reply(GO, INFO, Buffer.alloc(5))], 'EPROTO'],
    ['no size', [GREETING, reply(GO, ACK)], 'EPROTO'],
    [
      'an odd block size',
      [
        GREETING,
        exportInfo(4096n, 1),
        reply(GO, INFO, Buffer.concat([u16(3), u32(3), u32(4096), u32(4096)])),
        reply(GO, ACK),
      ],
      'EPROTO',
    ],
    [
      'large blocks',
      [
        GREETING,
        exportInfo(4096n, 1),
        reply(GO, INFO, Buffer.concat([u16(3), u32(65536), u32(65536), u32(65536)])),
        reply(GO, ACK),
      ],
      'EOPNOTSUPP',
    ],
    ['2^63 bytes', [GREETING, exportInfo(1n << 63n, 1), reply(GO, ACK)], 'EFBIG'],
    ['half a greeting', [GREETING.subarray(0, 9)], 'ECONNRESET'],
    ['the end', [GREETING], 'ECONNRESET'],
  ];
  for (const [title, lines, errno] of broken) t.match((await told(...lines)).outcome, { errno }, title);
});

t.test('a server that refuses TLS is told, and one that is silent is given up', async (t) => {
  const [client, server] = duplexPair();
  server.write(Buffer.concat([GREETING, reply(5, 0x80000002, Buffer.from('no'))]));
  const options = { exportName: '', startTls: () => Promise.reject(new Error('too early')) };
  await t.rejects(shakeHands(client, { ...options, signal: AbortSignal.timeout(30_000) }), {
    errno: 'EPERM',
    message: 'the server refuses TLS ("no")',
  });
  const [silent] = duplexPair();
  const controller = new AbortController();
  const waiting = shakeHands(silent, { exportName: '', signal: controller.signal });
  controller.abort(new LoopError('ETIMEDOUT', 'too late'));
  await t.rejects(waiting, { errno: 'ETIMEDOUT', message: 'too late' });
});
