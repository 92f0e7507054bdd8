import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import t from 'tap';
import { ReadWay, Way } from '../../../server/pace/read-way.js';
import { WriteWay } from '../../../server/pace/write-way.js';
import { awayFromPage } from '../../../server/system/buffers.js';
import { Cmd, WireErrno } from '../../../server/wire/constants.js';
import { SessionBench } from '../../helpers/session-bench.js';

const MIB = 1 << 20;
const BLOCK = 128 << 10;

/** A client that takes so many milliseconds for a MiB, by the way it came. Time is counted, not spent. */
class Client {
  readonly way = new ReadWay();
  now = 1000;

  constructor(
    public pipe: number,
    public copy: number,
  ) {}

  /** Reads so many bytes; returns the share of them that was copied. */
  read(bytes: number, block = BLOCK): number {
    let copied = 0;
    for (let done = 0; done < bytes; done += block) {
      const { next } = this.way;
      if (next === Way.COPY) copied += block;
      this.now += ((next === Way.COPY ? this.copy : this.pipe) * block) / MIB;
      this.way.went(block, this.now);
    }
    return copied / bytes;
  }
}

t.test('a client that is as fast either way is served through the pipe', async (t) => {
  const client = new Client(0.15, 0.15);
  client.read(193 * MIB);
  t.equal(client.read(256 * MIB), 0);
});

t.test('a client that the pipe makes slow is served with copies, but for one in four', async (t) => {
  for (const block of [64 << 10, BLOCK, MIB]) {
    const client = new Client(0.6, 0.25);
    client.read(193 * MIB, block);
    t.equal(client.read(128 * MIB, block), 0.75, `${block} bytes`);
  }
});

t.test('one look each way is enough where the difference is large', async (t) => {
  const client = new Client(0.6, 0.2);
  client.read(65 * MIB);
  t.equal(client.read(128 * MIB), 0.75);
});

t.test('copies must gain more than noise', async (t) => {
  const client = new Client(0.25, 0.22);
  client.read(193 * MIB);
  t.equal(client.read(128 * MIB), 0);
});

t.test('a choice that was wrong, or became it, is mended at the next comparison', async (t) => {
  const client = new Client(0.6, 0.25);
  client.read(193 * MIB);
  client.pipe = 0.1;
  client.read(2048 * MIB);
  t.equal(client.read(64 * MIB), 0);
});

t.test('comparing gets rare while it shows the same', async (t) => {
  const client = new Client(0.15, 0.3);
  client.read(16 * 1024 * MIB);
  const share = client.read(32 * 1024 * MIB);
  t.ok(share > 0 && share < 0.01, `${share} of the bytes were copied to compare`);
});

t.test('a client that pauses between requests is copied to for a comparison, no more', async (t) => {
  const client = new Client(0.6, 0.25);
  const reads = (count: number): number => {
    let copied = 0;
    for (let round = 0; round < count; round++) {
      copied += client.read(BLOCK);
      client.now += 5;
    }
    return copied;
  };
  reads(193 * 8);
  t.equal(reads(512 * 8), 0);
});

t.test(
  'a slow client that asks for several at once, and then for several more, is compared too',
  async (t) => {
    const client = new Client(6, 3);
    const reads = (bytes: number): number => {
      let copied = 0;
      for (let done = 0; done < bytes; done += MIB) {
        copied += client.read(MIB);
        client.now += 8;
      }
      return copied / (bytes / MIB);
    };
    reads(193 * MIB);
    t.equal(reads(128 * MIB), 0.75);
  },
);

t.test('a pause in a comparison begins it anew', async (t) => {
  const client = new Client(0.6, 0.25);
  client.read(36 * MIB + BLOCK);
  t.equal(client.way.next, Way.COPY);
  client.now += 100;
  client.read(BLOCK);
  t.equal(client.way.next, Way.PIPE);
  client.read(193 * MIB);
  t.equal(client.read(128 * MIB), 0.75);
});

/** 1 GiB of WRITEs of 128 KiB; the share that was copied of the last 512 MiB. Milliseconds a MiB, either way. */
function writes(pipe: number, copy: number): number {
  const way = new WriteWay();
  let [now, copied] = [1000, 0];
  for (let count = 0; count < 8192; count++) {
    const isCopied = way.next === Way.COPY;
    now += (isCopied ? copy : pipe) / 8;
    way.went(BLOCK, now);
    if (isCopied && count >= 4096) copied++;
  }
  return copied / 4096;
}

t.test(
  'long writes go through the pipe unless memory is clearly faster, then all go through memory',
  async (t) => {
    t.equal(writes(0.15, 0.15), 0);
    t.equal(writes(0.25, 0.24), 0);
    t.equal(writes(0.6, 0.3), 1);
  },
);

t.test('memory for headers and data begins 1 KiB behind a page', async (t) => {
  for (const length of [1, 4096, 1 << 20]) {
    const { address, bytes } = awayFromPage(length);
    t.equal(address % 4096, 1024);
    t.equal(bytes.length, length);
    t.equal(bytes.byteOffset + length <= bytes.buffer.byteLength, true);
  }
});

for (const mode of ['simple', 'structured', 'extended'] as const) {
  t.test(`${mode}: large reads are right whichever way they go, and so are their errors`, async (t) => {
    // However slow the machine is, the client is not idle.
    const { now } = performance;
    performance.now = () => 0;
    t.teardown(() => {
      performance.now = now;
    });
    const bench = new SessionBench({ mode, size: 2 * MIB, zeroCopy: true });
    const content = randomBytes(2 * MIB);
    bench.memory.fill(0, content);
    const { READ } = Cmd;
    const ways = new Set<string>();
    // Ways alternate every 32 MiB while they are compared.
    for (let i = 0; i < 400 && ways.size < 2; i++) {
      const length = i % 2 === 0 ? MIB : BLOCK + 512;
      const offset = (i * 512) % MIB;
      bench.memory.log.length = 0;
      const { data, shape } = bench.askOne({ type: READ, offset, length });
      t.ok(data?.equals(content.subarray(offset, offset + length)));
      t.equal(shape, `data ${length}`);
      ways.add(String(bench.memory.log[0]).split(' ', 1)[0] ?? '');
    }
    t.strictSame([...ways], ['fillPipe', 'read']);
    bench.backend.fault = () => constants.errno.EIO;
    t.equal(bench.askOne({ type: READ, offset: 0, length: MIB }).error, WireErrno.EIO);
    bench.backend.fault = () => 0;
    bench.memory.fileSize = 1000;
    const { data } = bench.askOne({ type: READ, offset: 0, length: BLOCK });
    t.ok(data?.equals(Buffer.concat([content.subarray(0, 1000), Buffer.alloc(BLOCK - 1000)])));
    t.equal(bench.memory.pipes.size, 0, 'pipes were given back');
  });
}
