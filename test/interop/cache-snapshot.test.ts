/** A volatile cache beside what else is done to its device. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { NbdRequests } from '../helpers/nbd-requests.js';
import { ServedLoops } from '../helpers/served-loops.js';

const page = (byte: number): Buffer => Buffer.alloc(4096, byte);

t.test('a snapshot holds what was answered, which is durable with it; the cache goes on', async (t) => {
  await using served = await ServedLoops.start();
  const { control, dir } = served.bench;
  const base = served.bench.file('base');
  const { number } = await control.findAndConfigure({
    file: base,
    overlay: { delta: dir.file('delta') },
    volatileCache: true,
  });
  const device = control.device(number);
  const client = await NbdRequests.open(served.socketPath);
  await client.write(0, page(1));
  await client.write(8192, page(2));
  await control.snapshot([{ number, file: dir.file('snapshot') }]);
  t.equal((await client.read(0, 4096)).data[0], 1);
  await client.write(0, page(3));
  t.match(
    await device.loopPowerCut({}, () => served.server.endSessions(number, 'the power was cut')),
    { writes: 1, kept: 0 },
    'what the snapshot holds is not in the cache any more',
  );
  const again = await NbdRequests.open(served.socketPath);
  t.equal((await again.read(0, 4096)).data[0], 1);
  await again.leave();
  const other = await control.findAndConfigure({
    file: dir.file('snapshot'),
    overlay: { temporary: true },
  });
  const reader = await NbdRequests.open(served.socketPath, `loop${other.number}`);
  t.equal((await reader.read(0, 4096)).data[0], 1);
  t.equal((await reader.read(8192, 4096)).data[0], 2);
  await reader.leave();
});

t.test('switched on twice at once there is one cache, and what it holds is not lost', async (t) => {
  await using served = await ServedLoops.start();
  const device = await served.bench.bound();
  const client = await NbdRequests.open(served.socketPath);
  const switching = [device.loopSetVolatile(true), device.loopSetVolatile(true)];
  await switching[0];
  await client.write(0, page(1));
  await switching[1];
  t.equal((await client.read(0, 4096)).data[0], 1);
  await client.flush();
  t.equal(readFileSync(device.snapshot().file ?? '')[0], 1);
  await client.leave();
});

t.test('a session that hangs keeps the power on: nothing of its life lands on the next', async (t) => {
  await using served = await ServedLoops.start();
  const device = await served.bench.bound();
  await device.loopSetVolatile(true);
  const client = await NbdRequests.open(served.socketPath);
  await client.write(0, page(1));
  await t.rejects(
    device.loopPowerCut({}, async () => false),
    { errno: 'EBUSY', message: /a session hangs/ },
  );
  t.equal((await client.read(0, 4096)).data[0], 1);
  await client.leave();
  t.equal(readFileSync(device.snapshot().file ?? '')[0], 1);
});
