import { existsSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { errnoOf, MIB, stuckRequest } from '../../helpers/loop-bench.js';
import { OverlayBench } from '../../helpers/overlays.js';

t.test('snapshots of a running overlay keep what it held then, and it goes on', async (t) => {
  await using bench = await OverlayBench.start({ bytes: 2 * MIB });
  const kept: [string, Buffer][] = [];
  for (let i = 0; i < 4; i++) {
    bench.steps(60);
    const file = bench.dir.file(`snapshot${i}`);
    const [taken] = await bench.loops.control.snapshot([{ number: 0, file }]);
    t.match(taken, { number: 0, file, waitedMs: Number, kind: /clone|sealed/ });
    kept.push([file, Buffer.from(bench.model)]);
    bench.check();
  }
  bench.steps(60);
  await bench.rebind({ file: bench.base, overlay: { delta: bench.delta } });
  bench.check();
  for (const [file, model] of kept) {
    bench.model = model;
    await bench.rebind({ file, overlay: { temporary: true } });
    bench.check();
  }
  t.strictSame(bench.loops.control.order.reports, []);
});

t.test(
  'several devices at one instant: locked and frozen in ascending number, however they are named',
  async (t) => {
    await using bench = await OverlayBench.start({ bytes: MIB });
    const { control, dir } = bench.loops;
    for (const name of ['b', 'c']) {
      await control.findAndConfigure({ file: bench.base, overlay: { delta: dir.file(name) } });
    }
    const targets = [2, 0, 1].map((number) => ({ number, file: dir.file(`s${number}`) }));
    const taken = await control.snapshot(targets);
    t.strictSame(
      taken.map(({ number }) => number),
      [0, 1, 2],
    );
    t.strictSame(control.order.reports, [], 'declared to the validator');
    t.equal(new Set(taken.map(({ waitedMs }) => waitedMs)).size, 1);
    t.equal(await errnoOf(control.snapshot([targets[0], targets[0]] as typeof targets)), 'EINVAL');
    const release = stuckRequest(control.device(1));
    const waiting = control.snapshot([1, 2].map((number) => ({ number, file: dir.file(`t${number}`) })));
    const early = await Promise.race([waiting, new Promise((resolve) => setTimeout(resolve, 50, 'waits'))]);
    t.equal(early, 'waits', 'for what is in flight');
    release();
    t.equal((await waiting).length, 2);
  },
);

t.test('a snapshot that can not be had changes nothing', async (t) => {
  await using bench = await OverlayBench.start({ bytes: MIB });
  const { control, dir } = bench.loops;
  const file = dir.file('there');
  writeFileSync(file, 'something');
  t.equal(await errnoOf(control.snapshot([{ number: 0, file }])), 'EEXIST');
  t.equal(await errnoOf(control.snapshot([{ number: 0, file: dir.file('no/folder') }])), 'ENOENT');
  const elsewhere = existsSync('/dev/shm')
    ? await errnoOf(control.snapshot([{ number: 0, file: '/dev/shm/nbdloop-snapshot' }]))
    : 'EXDEV';
  t.equal(elsewhere, 'EXDEV');
  t.notOk(existsSync('/dev/shm/nbdloop-snapshot'));
  t.equal(await errnoOf(control.snapshot([{ number: 7, file: dir.file('x') }])), 'ENODEV');
  bench.steps(20);
  bench.check();
  await bench.rebind({ file: bench.base, readOnly: true, overlay: { delta: bench.delta } });
  t.match(await errnoOf(control.snapshot([{ number: 0, file: dir.file('x') }])), /EROFS|none/);
  await bench.rebind({ file: bench.base, overlay: { temporary: true } });
  t.match(await errnoOf(control.snapshot([{ number: 0, file: dir.file('y') }])), /EOPNOTSUPP|none/);
  await bench.device.loopClrFd({ force: true });
  t.equal(await errnoOf(control.snapshot([{ number: 0, file: dir.file('z') }])), 'ENXIO');
});

t.test('a chain that is full is ELOOP, and goes on being served', async (t) => {
  await using bench = await OverlayBench.start({ bytes: MIB });
  const { control, dir } = bench.loops;
  let errno = 'none';
  for (let i = 0; i < 17 && errno === 'none'; i++) {
    errno = await errnoOf(control.snapshot([{ number: 0, file: dir.file(`s${i}`) }]));
  }
  t.match(errno, /ELOOP|none/);
  bench.steps(20);
  bench.check();
});
