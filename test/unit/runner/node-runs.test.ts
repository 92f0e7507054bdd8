import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { newest } from '../../runner/node-releases.js';
import { standsOnNode } from '../../runner/node-runs.js';

t.test('the newest release of a major version, by numbers and not by letters', async (t) => {
  const versions = ['22.9.0', '22.10.0', '22.10.0-rc.1', '22.9.12', '24.0.0', '2.99.0'];
  t.equal(newest(22, versions), '22.10.0');
  t.equal(newest(22, ['22.9.0', '22.9.12']), '22.9.12');
  t.equal(newest(24, versions), '24.0.0');
  t.equal(newest(26, versions), undefined);
});

t.test('a unit test runs on every Node unless it is known to stand on the language alone', async (t) => {
  const files = readdirSync('test/unit', { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join('dist/test/unit', name.replace(/\.ts$/, '.js')));
  const selected = files.filter(standsOnNode);
  for (const room of [
    'reactor',
    'server',
    'tls',
    'system',
    'io',
    'queue',
    'control',
    'kernel',
    'negotiation',
  ])
    t.ok(
      selected.some((file) => file.includes(`/${room}/`)),
      room,
    );
  t.ok(selected.includes('dist/test/unit/cli/nbdlosetup.test.js'));
  t.notOk(selected.some((file) => /\/(wire|locks)\//.test(file)));
  t.ok(selected.length < files.length);
});
