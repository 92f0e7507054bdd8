/** `npm run bench:micro`: what the parts of one small request cost, in nanoseconds. */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import koffi from 'koffi';
import { Bench } from 'tinybench';
import { addressOf, errno, pread } from '../driver/io/file-calls.js';
import { LoopBackend } from '../driver/queue/queue-rq.js';
import { DeviceState, Num, SHARED_BYTES, Word } from '../driver/queue/slots.js';
import { Cmd, Magic } from '../server/wire/constants.js';
import { putSimpleReply, putStructuredHeader } from '../server/wire/reply.js';
import { decodeRequest, Request } from '../server/wire/request.js';
import { table } from './report/text.js';

/** Operations a timed call makes, so that the clock's own cost vanishes. */
const BATCH = 1000;
const BLOCK = 4096;
const BLOCKS = 4096;

/** `BATCH` times the work; the index varies so that nothing can be hoisted out. */
const times =
  (work: (index: number) => unknown): (() => void) =>
  () => {
    for (let index = 0; index < BATCH; index++) work(index);
  };

const requests = (): DataView => {
  const bytes = Buffer.alloc(28 * BATCH);
  for (let index = 0; index < BATCH; index++) {
    const at = index * 28;
    bytes.writeUInt32BE(Magic.REQUEST, at);
    bytes.writeUInt16BE(Cmd.READ, at + 6);
    bytes.writeBigUInt64BE(BigInt(index) << 32n, at + 8);
    bytes.writeBigUInt64BE(BigInt(index * BLOCK), at + 16);
    bytes.writeUInt32BE(BLOCK, at + 24);
  }
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
};

/** What the codec is measured against: the same fields read the obvious way. */
const decodeNaively = (bytes: Buffer, at: number) => ({
  magic: bytes.readUInt32BE(at),
  flags: bytes.readUInt16BE(at + 4),
  type: bytes.readUInt16BE(at + 6),
  cookie: bytes.readBigUInt64BE(at + 8),
  offset: bytes.readBigUInt64BE(at + 16),
  length: bytes.readUInt32BE(at + 24),
});

const addCodec = (bench: Bench): void => {
  const view = requests();
  const bytes = Buffer.from(view.buffer, view.byteOffset, view.byteLength);
  const request = new Request();
  const reply = new DataView(new ArrayBuffer(64));
  bench
    .add(
      'codec: decode a request',
      times((index) => decodeRequest(view, index * 28, request)),
    )
    .add(
      'codec: the same, naively',
      times((index) => decodeNaively(bytes, index * 28)),
    )
    .add(
      'codec: simple reply',
      times(() => putSimpleReply(reply, 0, 0, request)),
    )
    .add(
      'codec: structured header',
      times(() => putStructuredHeader(reply, 0, 1, 1, BLOCK, request)),
    );
};

/** A device bound to the file, as the control path would leave it. */
const boundDevice = (fd: number): LoopBackend => {
  const shared = new SharedArrayBuffer(SHARED_BYTES);
  const words = new Int32Array(shared);
  words[Word.STATE] = DeviceState.BOUND;
  words[Word.FD] = fd;
  words[Word.FILE_GENERATION] = 1;
  words[Word.BLOCK_SIZE] = 512;
  new Float64Array(shared)[Num.SIZE] = BLOCK * BLOCKS;
  return new LoopBackend(shared, 0);
};

const addQueue = (bench: Bench, fd: number, address: number): void => {
  const backend = boundDevice(fd);
  const serve = (index: number): void => {
    if (!backend.enter()) throw new Error('the queue is frozen');
    const offset = (index % BLOCKS) * BLOCK;
    const refusal = backend.admit('read', offset, BLOCK) || backend.read(address, offset, BLOCK);
    backend.exit();
    if (refusal !== 0) throw new Error(`errno ${refusal}`);
  };
  bench
    .add(
      'queue: enter and exit',
      times(() => backend.enter() && backend.exit()),
    )
    .add(
      'queue: admit',
      times((index) => backend.admit('read', index * BLOCK, BLOCK)),
    )
    .add('queue: enter, admit, read 4 KiB, exit', times(serve));
};

const addCalls = (bench: Bench, fd: number, buffer: Buffer, address: number): void => {
  const getppid = koffi.load('libc.so.6').func('int getppid()') as () => number;
  const at = (index: number): number => (index % BLOCKS) * BLOCK;
  bench
    .add('koffi: errno', times(errno))
    .add('koffi: getppid', times(getppid))
    .add(
      'koffi: pread 4 KiB',
      times((index) => pread(fd, address, BLOCK, at(index))),
    )
    .add(
      'node: fs.readSync 4 KiB',
      times((index) => readSync(fd, buffer, 0, BLOCK, at(index))),
    );
};

const report = (bench: Bench): string => {
  const nanoseconds = (milliseconds: number): string => ((milliseconds * 1e6) / BATCH).toFixed(1);
  const rows = bench.tasks.map(({ name, result }) => {
    if (!('latency' in result)) throw new Error(`${name} did not run: ${result.state}`);
    return [name, nanoseconds(result.latency.p50), nanoseconds(result.latency.p99)];
  });
  return table(['operation', 'median ns', 'p99 ns'], rows);
};

const directory = mkdtempSync('/dev/shm/nbdloop-micro.');
const fd = openSync(`${directory}/image`, 'wx+');
try {
  const buffer = Buffer.alloc(BLOCK, 1);
  for (let index = 0; index < BLOCKS; index++) writeSync(fd, buffer, 0, BLOCK, index * BLOCK);
  const bench = new Bench({ time: 300, warmupTime: 100 });
  addCodec(bench);
  addQueue(bench, fd, addressOf(buffer));
  addCalls(bench, fd, buffer, addressOf(buffer));
  bench.runSync();
  console.log(
    `Node ${process.version}, file on tmpfs, each figure the mean of ${BATCH} operations in a row\n`,
  );
  console.log(report(bench));
} finally {
  closeSync(fd);
  rmSync(directory, { recursive: true });
}
