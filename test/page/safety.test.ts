import { createServer } from 'node:http';
import t, { type Test } from 'tap';
import { closeBrowser, view } from '../helpers/browser.js';
import { PagedDaemon } from '../helpers/paged-daemon.js';
import { skipUnless } from '../helpers/tools.js';

t.setTimeout(120_000);
const skip = skipUnless('chromium');
t.teardown(closeBrowser);

/** A name that leads here, as one of a stranger's may be made to. */
const REBOUND = ['--host-resolver-rules=MAP rebound.example 127.0.0.1'];

/** A page of somebody else's, on a port of its own. */
async function hostilePage(t: Test): Promise<string> {
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html');
    response.end(
      '<!doctype html><title>another site</title><form method="post" enctype="text/plain"></form>',
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/`;
}

t.test(
  'pages of other sites can neither read nor write, also when they know the token',
  { skip },
  async (t) => {
    await using paged = await PagedDaemon.start(1);
    const { client } = paged.daemon;
    await using viewer = await view(REBOUND);
    const { token } = await client.page();
    const page = await viewer.open(await hostilePage(t));
    const target = `http://127.0.0.1:${paged.port}`;
    const tries = await page.evaluate(
      async ([target, token]) => {
        const attempt = async (path: string, init: RequestInit): Promise<string> => {
          try {
            const response = await fetch(`${target}${path}`, init);
            return `${response.type} ${response.status} ${(await response.text()).length}`;
          } catch {
            return 'refused';
          }
        };
        const body = JSON.stringify({ file: '/etc/passwd' });
        const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
        return {
          read: await attempt('/api/devices', { headers }),
          page: await attempt('/', {}),
          write: await attempt('/api/devices/find', { method: 'POST', headers, body }),
          simple: await attempt('/api/devices/find', { method: 'POST', mode: 'no-cors', body }),
          clear: await attempt('/api/devices/0/backing?force=true', { method: 'DELETE', headers }),
          events: await new Promise<string>((resolve) => {
            const source = new EventSource(`${target}/api/events`);
            source.onmessage = () => resolve('a message');
            source.onerror = () => resolve('refused');
          }),
          script: await new Promise<string>((resolve) => {
            const script = document.createElement('script');
            script.src = `${target}/api/devices`;
            script.onload = () => resolve('loaded');
            script.onerror = () => resolve('refused');
            document.head.append(script);
          }),
        };
      },
      [target, token] as const,
    );
    t.match(tries, {
      ...{ read: 'refused', page: 'refused', write: 'refused', clear: 'refused' },
      ...{ events: 'refused', script: 'refused' },
    });
    t.match(tries.simple, /refused|opaque 0 0/);
    await page.evaluate((target) => {
      const [form] = document.forms;
      if (form !== undefined) {
        form.action = `${target}/api/devices/find`;
        form.submit();
      }
    }, target);
    await page.waitForURL(/\/api\/devices\/find/);
    t.match(await page.textContent('body'), /EPERM|EACCES/, 'a form is answered with a refusal');
    const framed = await viewer.open(await hostilePage(t));
    await framed.evaluate((target) => {
      const frame = document.createElement('iframe');
      frame.src = `${target}/`;
      document.body.append(frame);
    }, target);
    await framed.waitForTimeout(300);
    t.equal(await framed.frames()[1]?.locator('.brand').count(), 0, 'it can’t be put into a frame');
    t.match(await client.list(), [{ name: 'loop0', state: 'bound' }], 'nothing was done');
    t.equal((await client.list()).length, 1);
  },
);

t.test('the page works under each spelling of its address', { skip }, async (t) => {
  await using paged = await PagedDaemon.start(1);
  await using viewer = await view(REBOUND);
  const { token } = await paged.daemon.client.page();
  for (const host of ['localhost', 'LOCALHOST.', '127.0.0.1', '127.1']) {
    const page = await viewer.open(`http://${host}:${paged.port}/#token=${token}`);
    await page.locator('.devices .row', { hasText: 'loop0' }).waitFor();
    const status = await page.evaluate(async (token) => {
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
      const body = JSON.stringify({ iops: 500 });
      return (await fetch('/api/devices/0/limits', { method: 'PATCH', headers, body })).status;
    }, token);
    t.equal(status, 200, host);
    await page.close();
  }
  t.strictSame(viewer.complaints, []);
});

t.test('a name of a stranger’s that points here is not served', { skip }, async (t) => {
  await using paged = await PagedDaemon.start(1);
  await using viewer = await view(REBOUND);
  const { token } = await paged.daemon.client.page();
  const page = await viewer.open(`http://rebound.example:${paged.port}/#token=${token}`);
  t.match(await page.textContent('body'), /rebound\.example:\d+ is not where this page is served/);
  const answer = await page.evaluate(
    async ([token]) => {
      const headers = { authorization: `Bearer ${token}` };
      const response = await fetch('/api/devices', { headers });
      return { status: response.status, text: await response.text() };
    },
    [token] as const,
  );
  t.match(answer, { status: 421, text: /EPERM/ });
  t.notMatch(answer.text, /disk0/);
});
