/** What is wrong with a request is said in one plain sentence, which names the device where one is meant. */
import t from 'tap';
import { createControlApp } from '../../../driver/control/server.js';
import { fakeContext } from './fake-loops.js';

const BACKING = '/devices/0/backing';

async function setUp() {
  const context = fakeContext();
  const server = await createControlApp(context);
  await context.loops.ctlAdd();
  /** `payload` as it travels: numbers keep all their digits. */
  const send = async (method: 'POST' | 'PUT' | 'PATCH' | 'DELETE', url: string, payload?: string) => {
    const headers = payload === undefined ? {} : { 'content-type': 'application/json' };
    const answer = await server.app.inject({
      method,
      url,
      headers,
      ...(payload === undefined ? {} : { payload }),
    });
    return { status: answer.statusCode, body: answer.json() as Record<string, unknown> };
  };
  return { context, server, send };
}

t.test('a field that is wrong, missing or unknown is named', async (t) => {
  const { server, send } = await setUp();
  t.teardown(() => server.close());
  const cases = [
    ['PUT', BACKING, '{}', 'loop0: the request lacks the field "file"'],
    ['PUT', BACKING, '[]', 'loop0: the body of the request must be a JSON object'],
    ['PUT', BACKING, '{"file":"a.img"}', 'loop0: the field "file" must be an absolute path'],
    ['PUT', BACKING, '{"file":5}', 'loop0: the field "file" must be string'],
    ['PUT', BACKING, '{"file":"/a","ofset":1}', 'loop0: the request has an unknown field "ofset"'],
    [
      'PUT',
      BACKING,
      '{"file":"/a","offset":1.5}',
      'loop0: the field "offset" must be a whole number of bytes, 0 or more',
    ],
    [
      'PATCH',
      '/devices/0',
      '{"sizeLimit":"1k"}',
      'loop0: the field "sizeLimit" must be a whole number of bytes, 0 or more',
    ],
    [
      'PATCH',
      '/devices/0',
      '{"offset":null}',
      'loop0: the field "offset" must be a whole number of bytes, 0 or more',
    ],
    [
      'PATCH',
      '/devices/0',
      '{"offset":-1}',
      'loop0: the field "offset" must be a whole number of bytes, 0 or more',
    ],
    ['PUT', '/devices/0/direct-io', '{"on":1}', 'loop0: the field "on" must be boolean'],
    ['DELETE', `${BACKING}?force=1`, undefined, 'loop0: the field "force" must be true or false'],
    ['POST', '/devices', '{"number":-2}', 'the field "number" must be >= -1'],
    ['DELETE', '/devices/-1', undefined, 'the field "number" must be the number of a device'],
  ] as const;
  for (const [method, url, payload, message] of cases) {
    t.strictSame(await send(method, url, payload), { status: 400, body: { errno: 'EINVAL', message } });
  }
});

t.test('a request that can not be read is refused in the same way', async (t) => {
  const { server, send } = await setUp();
  t.teardown(() => server.close());
  const refused = (message: string, status = 400) => ({ status, body: { errno: 'EINVAL', message } });
  t.strictSame(await send('DELETE', '/devices/%zz'), refused('the path of the request is not a URL'));
  for (const payload of ['{"file":', '[[[[', '{"__proto__":{"x":1}}', '"']) {
    t.strictSame(await send('PUT', BACKING, payload), refused('loop0: the body of the request is not JSON'));
  }
  t.strictSame(await send('PUT', BACKING, ''), refused('loop0: the body of the request is empty'));
  t.strictSame(
    await send('PUT', BACKING, 'null'),
    refused('loop0: the body of the request must be a JSON object'),
  );
  const xml = { 'content-type': 'application/xml' };
  const answer = await server.app.inject({ method: 'PUT', url: BACKING, headers: xml, payload: '<a/>' });
  t.equal(answer.statusCode, 415);
  t.match(answer.json(), { errno: 'EINVAL', message: /^loop0: the body of the request must be JSON, / });
});

t.test('a number that no device can have is no device', async (t) => {
  const { server, send } = await setUp();
  t.teardown(() => server.close());
  t.match(await send('DELETE', '/devices/99999999999'), { status: 404, body: { errno: 'ENODEV' } });
});

t.test(
  'sizes come as they are, also those that are no exact JSON numbers, and the driver judges them',
  async (t) => {
    const { context, server, send } = await setUp();
    t.teardown(() => server.close());
    const seen: unknown[] = [];
    context.loops.device(0).loopConfigure = async ({ offset }) => void seen.push(offset);
    const sizes = [
      '0',
      '9007199254740991',
      '9007199254740993',
      '9223372036854775807',
      '9223372036854775808',
      '18446744073709551616',
    ];
    for (const size of sizes) {
      await send('PUT', BACKING, `{"offset": ${size} ,"file":"/a"}`);
      await send('PUT', BACKING, `{"file":"/a","offset":"${size}"}`);
    }
    t.same(
      seen.map(String),
      sizes.flatMap((size) => [size, size]),
    );
    seen.length = 0;
    await send('PUT', BACKING, '{"file":"/a","offset":1e30}');
    t.same(seen, [10n ** 30n + 19_884_624_838_656n]);
  },
);

t.test('what looks like a size inside a string stays as it is', async (t) => {
  const { context, server, send } = await setUp();
  t.teardown(() => server.close());
  let file: unknown;
  context.loops.device(0).loopChangeFd = async (path) => {
    file = path;
  };
  const path = '/a","offset":1234567890123456789,"';
  await send('PATCH', BACKING, JSON.stringify({ file: path }));
  t.equal(file, path);
});

t.test('an empty body counts as none where none is needed, whatever the header says', async (t) => {
  const { server } = await setUp();
  t.teardown(() => server.close());
  const send = (method: 'POST' | 'DELETE' | 'PUT', url: string) =>
    server.app.inject({ method, url, headers: { 'content-type': 'application/json' } });
  t.equal((await send('POST', '/devices')).statusCode, 201);
  t.equal((await send('DELETE', '/devices/1')).statusCode, 204);
  t.equal((await send('POST', '/devices/0/attach')).json().errno, 'ENXIO', 'its turn comes');
  t.match((await send('PUT', BACKING)).json(), { errno: 'EINVAL', message: /body of the request/ });
  // As curl sends -d ''.
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  const form = (payload: string, url: string) => server.app.inject({ method: 'POST', url, headers, payload });
  t.equal((await form('', '/devices/')).statusCode, 201, 'with a slash at the end, too');
  t.equal((await form('file=x', '/devices/find')).statusCode, 415);
});

t.test('HEAD answers as GET does, without its body, and OPTIONS tells what a path takes', async (t) => {
  const { server } = await setUp();
  t.teardown(() => server.close());
  for (const url of ['/devices', '/devices/0', '/daemon', '/metrics', '/events', '/openapi.json']) {
    const head = await server.app.inject({ method: 'HEAD', url });
    t.equal(head.statusCode, 200, url);
    t.equal(head.body, '', url);
  }
  const options = await server.app.inject({ method: 'OPTIONS', url: '/devices/0/backing' });
  t.equal(options.statusCode, 204);
  t.equal(options.headers.allow, 'PUT, PATCH, DELETE, OPTIONS');
  t.equal(
    (await server.app.inject({ method: 'OPTIONS', url: '/devices' })).headers.allow,
    'GET, POST, HEAD, OPTIONS',
  );
});

t.test('a path or a method that is not there names the nearest one', async (t) => {
  const { server } = await setUp();
  t.teardown(() => server.close());
  const cases: ['GET' | 'PUT' | 'POST' | 'DELETE', string, number, string][] = [
    ['GET', '/device', 404, '; the nearest is GET /devices'],
    ['GET', '/devices/loop0', 400, ''],
    ['PUT', '/devices/0/baking', 404, '; the nearest is PUT /devices/N/backing'],
    ['DELETE', '/devices/0/bakcing?force=true', 404, '; the nearest is DELETE /devices/N/backing'],
    ['POST', '/devices/0/direct-io', 405, '; the nearest is PUT /devices/N/direct-io'],
    ['GET', '/openapi', 404, '; the nearest is GET /openapi.json'],
    ['GET', '/something/else/entirely', 404, ''],
  ];
  for (const [method, url, status, near] of cases) {
    const answer = await server.app.inject({ method, url });
    t.equal(answer.statusCode, status, `${method} ${url}`);
    if (status !== 400) t.equal(answer.json().message, `the control API has no ${method} ${url}${near}`);
    if (status === 405) t.equal(answer.headers.allow, 'PUT, OPTIONS');
  }
});
