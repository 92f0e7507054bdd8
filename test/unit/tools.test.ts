import { pathToFileURL } from 'node:url';
import t from 'tap';
import { run } from '../helpers/process.js';

const TOOLS = pathToFileURL('dist/test/helpers/tools.js').href;
const ASK = `
  const { skipUnless } = await import(${JSON.stringify(TOOLS)});
  console.log(JSON.stringify([skipUnless('sh'), skipUnless('sh', 'no-such-program')]));
`;

const ask = (requireAll: string | undefined) =>
  run(process.execPath, ['--input-type=module', '-e', ASK], { env: { NBDLOOP_REQUIRE_ALL: requireAll } });

t.test('a missing tool is a reason to skip, and a failure where nothing may be skipped', async (t) => {
  const lenient = await ask(undefined);
  t.strictSame(JSON.parse(lenient.stdout), [false, 'not installed: no-such-program']);
  const strict = await ask('1');
  t.not(strict.status, 0);
  t.match(strict.stderr, /NBDLOOP_REQUIRE_ALL=1 and not installed: no-such-program/);
});
