/** Lone replies that are begun before the request is carried out, with real sockets and files. */
import { randomBytes } from 'node:crypto';
import { closeSync, constants, readFileSync, truncateSync } from 'node:fs';
import t from 'tap';
import { HEAD_START } from '../../../server/pace/head-start.js';
import { Cmd, WireErrno } from '../../../server/wire/constants.js';
import { type BlockClient, ReactorBench, type TestDevice } from '../../helpers/reactor-bench.js';

const { READ, WRITE } = Cmd;
const BLOCK = 4096;
const SIZE = 1 << 20;

t.setTimeout(120_000);

/** A client that has asked one thing at a time for so long that what it asks after a pause is a measured head start. */
async function provenClient(
  bench: ReactorBench,
  device: TestDevice,
  mode: 'simple' | 'structured' | 'extended',
): Promise<BlockClient> {
  const client = await bench.connect(device, { mode });
  client.allowAnyForm();
  for (let i = 0; i < HEAD_START.first; i++) await client.ask({ type: READ, offset: 0, length: 512 });
  await pause();
  return client;
}

/** Longer than a client that is being measured may pause. */
const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 10));

for (const transport of ['unix', 'tcp'] as const) {
  for (const mode of ['simple', 'structured', 'extended'] as const) {
    t.test(`${transport}, ${mode}: data and errors are what they are without it`, async (t) => {
      await using bench = await ReactorBench.start({ transport });
      const device = await bench.device(SIZE);
      const content = readFileSync(device.path);
      const client = await provenClient(bench, device, mode);
      for (let block = 0; block < 50; block++) {
        const offset = block * BLOCK;
        const { data } = await client.ask({ type: READ, offset, length: BLOCK });
        if (!data?.equals(content.subarray(offset, offset + BLOCK))) t.fail(`block ${block}`);
        const payload = randomBytes(BLOCK);
        payload.copy(content, offset);
        t.equal((await client.ask({ type: WRITE, offset, payload })).error, 0);
      }
      t.ok(readFileSync(device.path).equals(content), 'what was written is in the file');

      // The kernel refuses the one because of how the descriptor was opened, then the other.
      await pause();
      const readOnly = await device.rebind(constants.O_RDONLY);
      const refused = await client.ask({ type: WRITE, offset: 0, payload: randomBytes(BLOCK) });
      t.equal(refused.error, WireErrno.EIO);
      if (mode === 'structured') t.equal(refused.text, '', 'a simple reply: it was begun ahead');
      const { data } = await client.ask({ type: READ, offset: 0, length: BLOCK });
      t.ok(data?.equals(content.subarray(0, BLOCK)));
      const writeOnly = await device.rebind(constants.O_WRONLY);
      t.equal((await client.ask({ type: READ, offset: 0, length: BLOCK })).error, WireErrno.EIO);
      t.equal((await client.ask({ type: WRITE, offset: 0, payload: content.subarray(0, BLOCK) })).error, 0);
      await device.bind();
      closeSync(readOnly);
      closeSync(writeOnly);

      truncateSync(device.path, 10_000);
      content.fill(0, 10_000);
      for (const offset of [0, 8192, 12_288, SIZE - BLOCK]) {
        const { data } = await client.ask({ type: READ, offset, length: BLOCK });
        t.ok(data?.equals(content.subarray(offset, offset + BLOCK)), `a file that shrank, at ${offset}`);
      }
      await device.clear();
      t.equal((await client.ask({ type: READ, offset: 0, length: BLOCK })).error, WireErrno.EIO);
    });
  }
}

t.test('a second connection on the thread ends it for the first', async (t) => {
  await using bench = await ReactorBench.start();
  const device = await bench.device(SIZE);
  const client = await provenClient(bench, device, 'structured');
  const other = await bench.connect(device, { mode: 'structured' });
  const fd = await device.rebind(constants.O_RDONLY);
  const write = { type: WRITE, offset: 0, payload: randomBytes(BLOCK) };
  await pause();
  t.not((await client.ask(write)).text, '', 'an error chunk has a text');
  other.socket.destroy();
  await other.closed;
  await pause();
  t.equal((await client.ask(write)).text, '', 'alone again');
  await device.bind();
  closeSync(fd);
});
