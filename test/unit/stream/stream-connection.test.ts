import { randomFillSync } from 'node:crypto';
import { type Duplex, duplexPair } from 'node:stream';
import t, { type Test } from 'tap';
import { StreamHost } from '../../../server/stream/stream-host.js';
import { Cmd, CmdFlag } from '../../../server/wire/constants.js';
import { FaultyBackend, MemoryBackend } from '../../helpers/memory-backend.js';

const MIB = 1 << 20;

/** A compact request with its payload. */
const request = (
  type: number,
  cookie: number,
  offset: number,
  length: number,
  payload?: Uint8Array,
): Buffer => {
  const header = Buffer.alloc(28);
  header.writeUInt32BE(0x25609513, 0);
  header.writeUInt16BE(type === Cmd.READ ? 0 : CmdFlag.FUA, 4);
  header.writeUInt16BE(type, 6);
  header.writeBigUInt64BE(BigInt(cookie), 8);
  header.writeBigUInt64BE(BigInt(offset), 16);
  header.writeUInt32BE(length, 24);
  return payload === undefined ? header : Buffer.concat([header, payload]);
};

interface Served {
  readonly backend: MemoryBackend;
  readonly faulty: FaultyBackend;
  readonly host: StreamHost;
  readonly near: Duplex;
  readonly far: Duplex;
  readonly closed: Promise<string>;
  /** Exactly `length` bytes of what the server sent. */
  read(length: number): Promise<Buffer>;
}

const serve = (t: Test, { size = 8 * MIB, leftover = Buffer.alloc(0) } = {}): Served => {
  const backend = new MemoryBackend(size);
  const faulty = new FaultyBackend(backend);
  const host = new StreamHost({ attach: () => faulty });
  const [far, near] = duplexPair();
  // Done with what was written when it says so, as TLS is; the pair alone hands it on.
  const hand = far._write.bind(far);
  far._write = (bytes: Buffer, encoding, done) => hand(Buffer.from(bytes), encoding, done);
  const opened = {
    info: {
      name: 'loop0',
      description: '',
      size,
      readOnly: false,
      fastZero: false,
      blockSizes: { minimum: 1, preferred: 4096, maximum: 32 * MIB },
    },
    device: 0,
    shared: new SharedArrayBuffer(8),
    domain: () => '',
    names: () => ['test'],
    release: async () => {},
  };
  const closed = new Promise<string>((resolve) => {
    const adopted = { stream: far, opened, mode: 'simple', contexts: [], minimumBlock: 1 } as const;
    host.adopt({ ...adopted, readOnly: false, leftover }, resolve);
  });
  near.on('error', () => {});
  t.teardown(() => {
    far.destroy();
    near.destroy();
  });
  let kept = Buffer.alloc(0);
  let wake = (): void => {};
  for (const event of ['readable', 'end', 'close']) near.on(event, () => wake());
  const read = async (length: number): Promise<Buffer> => {
    while (kept.length < length) {
      const bytes: Buffer | null = near.read();
      if (bytes !== null) kept = Buffer.concat([kept, bytes]);
      else if (near.readableEnded || near.destroyed) throw new Error('the server ended');
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
    const bytes = kept.subarray(0, length);
    kept = kept.subarray(length);
    return bytes;
  };
  return { backend, faulty, host, near, far, closed, read };
};

/** Asserts a simple reply without data. */
const reply = async (t: Test, { read }: Served, cookie: number, errno = 0): Promise<void> => {
  const header = await read(16);
  t.equal(header.readUInt32BE(0), 0x67446698);
  t.equal(header.readUInt32BE(4), errno);
  t.equal(Number(header.readBigUInt64BE(8)), cookie);
};

/** Lets everything that can happen at once happen. */
const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
};

t.test('what is written is read back, small and in pieces larger than any buffer', async (t) => {
  const served = serve(t);
  for (const length of [1, 4096, 65536, 65537, 3 * MIB + 5]) {
    const data = randomFillSync(new Uint8Array(length));
    served.near.write(request(Cmd.WRITE, length, 7, length, data));
    await reply(t, served, length);
    served.near.write(request(Cmd.READ, length + 1, 7, length));
    await reply(t, served, length + 1);
    t.ok((await served.read(length)).equals(Buffer.from(data)), `${length} bytes`);
  }
  t.equal(served.backend.inFlight, 0);
});

t.test('requests that came with the handshake are served first', async (t) => {
  const first = request(Cmd.READ, 1, 0, 512);
  const served = serve(t, { leftover: Buffer.concat([first, request(Cmd.READ, 2, 0, 512).subarray(0, 10)]) });
  served.near.write(request(Cmd.READ, 2, 0, 512).subarray(10));
  await reply(t, served, 1);
  await served.read(512);
  await reply(t, served, 2);
});

t.test('byte by byte a request is a request', async (t) => {
  const served = serve(t);
  for (const byte of request(Cmd.WRITE, 9, 0, 3, Buffer.from('abc'))) {
    served.near.write(Buffer.from([byte]));
    await new Promise(setImmediate);
  }
  await reply(t, served, 9);
  t.equal(Buffer.from(served.backend.content.subarray(0, 3)).toString(), 'abc');
});

t.test('DISC is answered by the end of the stream, after everything before it', async (t) => {
  const served = serve(t);
  const write = request(Cmd.WRITE, 3, 0, 3, Buffer.from('abc'));
  served.near.write(Buffer.concat([write, request(Cmd.READ, 1, 0, 100_000), request(Cmd.DISC, 2, 0, 0)]));
  await reply(t, served, 3);
  await reply(t, served, 1);
  await served.read(100_000);
  await t.rejects(served.read(1), { message: 'the server ended' });
  t.equal(await served.closed, 'the client disconnected');
  t.equal(served.backend.flushes, 2, 'one for the FUA of the write, one for all that was written');
});

t.test('a client that ends its side is closed, one that vanishes too', async (t) => {
  const ended = serve(t);
  ended.near.end();
  await t.rejects(ended.read(1), { message: 'the server ended' });
  t.equal(await ended.closed, 'the client closed the connection');
  const gone = serve(t);
  gone.far.destroy(new Error('ECONNRESET'));
  t.equal(await gone.closed, 'the connection was reset');
});

t.test('what is not a request ends the connection', async (t) => {
  const served = serve(t);
  served.near.write(Buffer.alloc(28, 'x'));
  t.equal(await served.closed, 'the client broke the protocol');
});

t.test('an error of the device is answered and the connection stays', async (t) => {
  const served = serve(t);
  served.faulty.fault = () => 5;
  served.near.write(request(Cmd.READ, 1, 0, 4096));
  await reply(t, served, 1, 5);
  served.faulty.fault = () => 0;
  served.near.write(request(Cmd.READ, 2, 0, 4096));
  await reply(t, served, 2);
});

t.test('a frozen device parks the connection until it is woken', async (t) => {
  const served = serve(t);
  served.backend.isFrozen = true;
  served.near.write(Buffer.concat([request(Cmd.READ, 1, 0, 16), request(Cmd.READ, 2, 0, 16)]));
  await settle();
  t.equal(served.near.readableLength, 0);
  served.host.wake();
  await settle();
  t.equal(served.near.readableLength, 0, 'a wake without a thaw changes nothing');
  served.backend.isFrozen = false;
  served.host.wake();
  await reply(t, served, 1);
  await served.read(16);
  await reply(t, served, 2);
});

t.test('a peer that does not read is held: neither replies nor requests pile up', async (t) => {
  const served = serve(t);
  const requests = Buffer.concat(
    Array.from({ length: 64 }, (_, cookie) => request(Cmd.READ, cookie, 0, MIB)),
  );
  served.near.write(requests);
  served.near.write(Buffer.alloc(0));
  await settle();
  const queued = served.far.writableLength;
  t.ok(queued > 0 && queued <= 2 * MIB + 4096, `${queued} bytes of replies queued`);
  t.equal(served.backend.inFlight, 0, 'and no request stays counted in');
  for (let cookie = 0; cookie < 64; cookie++) {
    await reply(t, served, cookie);
    await served.read(MIB);
  }
});

t.test('a connection with much to do gives way to others', async (t) => {
  const busy = serve(t);
  busy.near.write(
    Buffer.concat(Array.from({ length: 5000 }, (_, cookie) => request(Cmd.FLUSH, cookie, 0, 0))),
  );
  let turns = 0;
  let watching = true;
  const watch = (): void => {
    turns++;
    if (watching) setImmediate(watch);
  };
  watch();
  await busy.read(5000 * 16);
  watching = false;
  t.ok(turns > 5, `${turns} turns of the loop meanwhile`);
});

t.test('draining serves what was received, then closes', async (t) => {
  const served = serve(t);
  const idle = serve(t);
  served.near.write(request(Cmd.READ, 1, 0, 300_000));
  await new Promise(setImmediate);
  const done = Promise.all([served.host.close(5000), idle.host.close(5000)]);
  await reply(t, served, 1);
  await served.read(300_000);
  await t.rejects(served.read(1), { message: 'the server ended' });
  await done;
  t.equal(await served.closed, 'the server is draining');
  t.equal(await idle.closed, 'the server is draining');
});

t.test('draining cuts a peer that does not take its replies', async (t) => {
  const served = serve(t);
  served.near.write(Buffer.concat([request(Cmd.READ, 1, 0, MIB), request(Cmd.READ, 2, 0, MIB)]));
  await settle();
  await served.host.close(20);
  t.equal(await served.closed, 'the server stopped');
});
