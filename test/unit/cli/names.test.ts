import { readdirSync } from 'node:fs';
import t from 'tap';
import { daemonFlags } from '../../../driver/cli/daemon-flags.js';
import { deviceNumber, listedName, markedName, shownName } from '../../../driver/cli/device-name.js';
import { CliError, sentenceOf } from '../../../driver/cli/fail.js';
import { nbdloopdProgram } from '../../../driver/cli/nbdloopd-program.js';
import { listenAddress } from '../../../driver/cli/option-values.js';
import { quantile } from '../../../driver/cli/top.js';
import { humanBytes, humanCount, humanSeconds } from '../../../driver/cli/units.js';
import type { DeviceStatus, UnrecoveredDevice } from '../../../driver/control/messages.js';
import { exportUris } from '../../../driver/control/uris.js';

const DAEMON = {
  list: async () => [{ number: 3, exportName: 'db/1 ü?' } as DeviceStatus],
  unrecovered: async () => [{ number: 4, exportName: 'down' } as UnrecoveredDevice],
};

t.test('a device is named in every way that it is shown', async (t) => {
  const addresses = { unix: ['/run/a b/n.sock'], tcp: [{ host: '::', port: 10_809 }], tls: false };
  const shown = [
    '3',
    'loop3',
    'nbd3',
    '/dev/nbd3',
    'db/1 ü?',
    ...['loop3', 'db/1 ü?'].flatMap((name) => exportUris(addresses, name)),
    ...exportUris({ ...addresses, tls: true }, 'loop3'),
  ];
  for (const word of shown) t.equal(await deviceNumber(word, DAEMON), 3, word);
  t.equal(await deviceNumber('down', DAEMON), 4, 'of a device that could not be brought back');
  for (const word of [
    ...['foo', '', 'loop', 'loop3p1', '/dev/sda', 'nbd://host/', 'nbd://host/%', 'loop-1', '99999999'],
    'nbd://host/db',
  ]) {
    await t.rejects(
      deviceNumber(word, DAEMON),
      { errno: 'ENODEV', message: /failed to use device: No such device/ },
      word,
    );
  }
  await t.rejects(deviceNumber('/dev/loop3', DAEMON), { errno: 'ENODEV', message: /kernel's own/ });
});

t.test('an attached device is its node; another one is listed by name and shown by URI', async (t) => {
  const device = { name: 'loop3', node: null, uris: ['nbd+unix:///loop3?socket=/n', 'nbd://h/loop3'] };
  t.equal(listedName(device), 'loop3');
  t.equal(shownName(device), 'nbd+unix:///loop3?socket=/n');
  t.equal(listedName({ ...device, node: '/dev/nbd3' }), '/dev/nbd3');
  t.equal(shownName({ ...device, node: '/dev/nbd3' }), '/dev/nbd3');
});

t.test('an error is one sentence with its errno name once', async (t) => {
  t.equal(sentenceOf(new CliError('ENXIO', 'loop0: not bound')), 'loop0: not bound (ENXIO)');
  t.equal(sentenceOf(new CliError('ENXIO', 'a: b (ENXIO)')), 'a: b (ENXIO)');
  t.equal(sentenceOf(Object.assign(new Error('no'), { code: 'EACCES' })), 'no (EACCES)');
});

t.test('listen addresses', async (t) => {
  t.strictSame(listenAddress('10.0.0.1:5'), { host: '10.0.0.1', port: 5 });
  t.strictSame(listenAddress('[::1]:5'), { host: '::1', port: 5 });
  t.strictSame(listenAddress('host'), { host: 'host', port: 10_809 });
  t.strictSame(listenAddress(':0'), { host: '::', port: 0 });
  for (const text of ['', 'a:b', '::1:5', 'a:70000', 'a b:1'])
    t.throws(() => listenAddress(text), { message: 'It is not HOST:PORT.' }, text);
  const flags = (...words: string[]) => daemonFlags(nbdloopdProgram, words);
  t.strictSame(flags().listen, []);
  t.strictSame(flags('--listen', 'none').listen, []);
  t.equal(flags('--listen', 'a:1', '--listen', 'b:2').listen?.length, 2);
  t.strictSame(flags('--device', 'a', '--device', 'b').device, ['a', 'b']);
  t.strictSame(flags('--device', 'a', '--device', 'b', '--name', '', '--name', 'x').name, ['', 'x']);
  t.throws(() => flags('--device', 'a', '--name', 'x', '--name', 'y'), { message: /more of --name/ });
});

t.test('numbers for people', async (t) => {
  t.strictSame([0, 1, 1023, 1024, 1536, 1 << 30].map(humanBytes), [
    '0 B',
    '1 B',
    '1023 B',
    '1 KiB',
    '1.5 KiB',
    '1 GiB',
  ]);
  t.strictSame([0, 999, 1000, 1500, 2_000_000].map(humanCount), ['0', '999', '1k', '1.5k', '2M']);
  t.strictSame([0, 59, 61, 3600, 90_061].map(humanSeconds), ['0 s', '59 s', '1 min 1 s', '1 h', '1 d 1 h']);
  t.equal(quantile([0, 0, 0], 0.5), null);
  t.equal(quantile([0, 0, 98, 0, 2], 0.5), '<4 us');
  t.equal(quantile([0, 0, 98, 0, 2], 0.99), '<16 us');
});

t.test('a device of the kernel whose node is missing in /dev is listed as lost', async (t) => {
  const [known = ''] = readdirSync('/sys/class/block');
  t.equal(markedName({ node: `/nonexistent/${known}`, name: 'loop0' }), `/nonexistent/${known} (lost)`);
  t.equal(markedName({ node: '/nonexistent/none', name: 'loop0' }), '/nonexistent/none');
  t.equal(markedName({ node: '/dev/null', name: 'loop0' }), '/dev/null');
  t.equal(markedName({ node: null, name: 'loop0' }), 'loop0');
});
