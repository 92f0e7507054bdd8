import { closeSync, openSync, readFileSync } from 'node:fs';
import t from 'tap';
import { StorePort, storeBoard } from '../../../driver/queue/store-board.js';
import type { StoreDescription } from '../../../driver/store/description.js';
import { Cmd } from '../../../server/wire/constants.js';
import { ReactorBench } from '../../helpers/reactor-bench.js';
import { makeRandomFile } from '../../helpers/temp.js';

const MIB = 1 << 20;

const describe = (fd: number): StoreDescription => ({
  inner: { kind: 'file', fd, alignment: 1, tellsHoles: false },
  wrappers: [],
});

t.test('what is up is found on every thread, also on one that begins later', (t) => {
  const early = new StorePort(storeBoard.openPort());
  const id = storeBoard.put(describe(7));
  const late = new StorePort(storeBoard.openPort());
  for (const one of [early, late, storeBoard]) t.match(one.find(id), { inner: { fd: 7 } });
  storeBoard.takeDown(id);
  for (const one of [early, late, storeBoard]) {
    one.look();
    t.throws(() => one.find(id), /not described/);
  }
  t.not(storeBoard.put(describe(8)), id, 'a number is not used again');
  t.end();
});

t.test('reactors serve stores that are described, and the next ones after each thaw', async (t) => {
  await using bench = await ReactorBench.start({ reactors: 2 });
  const device = await bench.device(MIB);
  const files = [0, 1, 2].map((index) => makeRandomFile(bench.files.file(`described${index}`), MIB));
  const clients = [await bench.connect(device), await bench.connect(device)];
  for (const path of files) {
    const fd = openSync(path, 'r+');
    await device.describe(describe(fd));
    for (const client of clients) {
      const { data } = await client.ask({ type: Cmd.READ, offset: 4096, length: 65_536 });
      t.ok(data?.equals(readFileSync(path).subarray(4096, 4096 + 65_536)));
    }
    // A thread that has no connection yet.
    const { data } = await (await bench.connect(device)).ask({ type: Cmd.READ, offset: 0, length: 512 });
    t.ok(data?.equals(readFileSync(path).subarray(0, 512)));
    await device.bind();
    closeSync(fd);
  }
  const { data } = await (clients[0] as (typeof clients)[0]).ask({ type: Cmd.READ, offset: 0, length: 512 });
  t.ok(data?.equals(readFileSync(device.path).subarray(0, 512)), 'and the plain file again');
});
