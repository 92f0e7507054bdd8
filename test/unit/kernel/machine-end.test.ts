import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { isMachineEnding } from '../../../driver/kernel/machine-end.js';
import { TempDir } from '../../helpers/temp.js';

/** A record of utmp(5). */
function record(type: number, level: string): Buffer {
  const bytes = Buffer.alloc(384);
  bytes.writeInt16LE(type, 0);
  bytes.writeInt32LE(level.charCodeAt(0) + 256 * 'N'.charCodeAt(0), 4);
  return bytes;
}

t.test('systemd is asked where it runs, and nobody else then', async (t) => {
  using dir = new TempDir();
  const { PATH } = process.env;
  t.teardown(() => {
    process.env.PATH = PATH;
  });
  process.env.PATH = `${dir.path}:${PATH}`;
  mkdirSync(dir.file('run/systemd/system'), { recursive: true });
  mkdirSync(dir.file('run/openrc'));
  writeFileSync(dir.file('run/openrc/softlevel'), 'shutdown');
  for (const [state, expected] of [
    ['running', false],
    ['degraded', false],
    ['starting', false],
    ['stopping', true],
    ['offline', false],
  ] as const) {
    writeFileSync(
      dir.file('systemctl'),
      `#!/bin/sh\n[ "$*" = is-system-running ] && echo ${state}\nexit 1\n`,
    );
    chmodSync(dir.file('systemctl'), 0o755);
    t.equal(await isMachineEnding(dir.path), expected, state);
  }
  writeFileSync(dir.file('systemctl'), '#!/bin/sh\nexec sleep 60\n');
  t.equal(await isMachineEnding(dir.path), false, 'what does not answer has not said that it ends');
});

t.test('without systemd: OpenRC and the run level', async (t) => {
  using dir = new TempDir();
  t.equal(await isMachineEnding(dir.path), false, 'nobody tells');
  mkdirSync(dir.file('run/openrc'), { recursive: true });
  for (const [level, expected] of [
    ['default', false],
    ['shutdown', true],
    ['reboot', true],
  ] as const) {
    writeFileSync(dir.file('run/openrc/softlevel'), level);
    t.equal(await isMachineEnding(dir.path), expected, level);
  }
  writeFileSync(dir.file('run/openrc/softlevel'), 'default');
  for (const [records, expected] of [
    [[record(2, '~'), record(1, '5'), record(7, '0')], false],
    [[record(1, '5'), record(1, '0')], true],
    [[record(1, '6')], true],
    [[record(1, '1')], false],
  ] as const) {
    writeFileSync(dir.file('run/utmp'), Buffer.concat(records));
    t.equal(await isMachineEnding(dir.path), expected);
  }
});
