/**
 * What is seldom there to be seen: reports of the lock order, devices that are down, attached, or of other hosts. Compiled
 * with the daemon, which it has in this process, and so without the browser's types.
 */
import { renameSync } from 'node:fs';
import t from 'tap';
import { LockOrder } from '../../driver/locks/lock-order.js';
import { OrderedMutex } from '../../driver/locks/mutex.js';
import { Journal } from '../../driver/web/journal.js';
import { WebServer } from '../../driver/web/web-server.js';
import { violations } from '../helpers/axe.js';
import { closeBrowser, picture, view } from '../helpers/browser.js';
import { PagedDaemon } from '../helpers/paged-daemon.js';
import { makeRandomFile, TempDir } from '../helpers/temp.js';
import { skipUnless } from '../helpers/tools.js';
import { fakeContext } from '../unit/control/fake-loops.js';

t.setTimeout(180_000);
const skip = skipUnless('chromium');
t.teardown(closeBrowser);

/** The page in front of kernel, other hosts and lock order as the test has them. */
async function pageOf(directory: TempDir) {
  const base = fakeContext();
  const journal = new Journal(base.loops);
  const order = new LockOrder({ onReport: ({ message }) => journal.lockReport(message) });
  const context = { ...base, lockdep: () => order.snapshot() };
  const server = await WebServer.start(context, {
    ...{ host: '127.0.0.1', port: 0, insecure: false, journal, onFailure: 'reject' },
    stateDirectory: directory.path,
  });
  return { context, order, server, url: server.address().url };
}

t.test('a lock that is taken in two orders is red, with both stacks, and an event', { skip }, async (t) => {
  using directory = new TempDir();
  const { order, server, url } = await pageOf(directory);
  t.teardown(() => server.close());
  await using viewer = await view();
  const page = await viewer.open(url);
  await page.locator('.link-state.live').waitFor();
  const outer = new OrderedMutex(order, 'validateMutex', 'loop-control');
  const inner = new OrderedMutex(order, 'loMutex', 'loop0');
  const nest = (name: string, first: OrderedMutex, second: OrderedMutex) =>
    order.task(name, async () => {
      using _first = await first.acquire();
      using _second = await second.acquire();
    });
  await nest('configure loop0', outer, inner);
  await nest('set_status loop0', inner, outer);
  t.equal(order.reports.length, 1);
  await page.getByRole('link', { name: 'Events' }).click();
  await page.locator('.events li.lock-report').first().waitFor();
  await page.getByRole('link', { name: 'Lock order', exact: true }).first().click();
  await page.locator('.graph .edge.reported').first().waitFor();
  const report = page.locator('.report').first();
  await report.waitFor();
  const text = (await report.textContent()) ?? '';
  t.match(text, /set_status loop0/);
  t.match(text, /validateMutex/);
  t.match(text, /loMutex/);
  t.equal(await report.locator('.stacks pre').count(), 2, 'both stacks are there');
  t.strictSame(await violations(page), [], 'axe finds nothing');
  await picture(page, 'lock-report');
});

t.test(
  'devices of other hosts: attached, refused, waiting, detached; and one of ours in the kernel',
  {
    skip,
  },
  async (t) => {
    using directory = new TempDir();
    const { context, server, url } = await pageOf(directory);
    t.teardown(() => server.close());
    await context.loops.findAndConfigure({ file: '/srv/images/root.img' });
    context.attachments.attached.add(0);
    await using viewer = await view();
    const page = await viewer.open(url);
    await page.locator('.devices .row .node', { hasText: '/dev/nbd0' }).waitFor();
    await page.getByRole('link', { name: 'Other hosts' }).click();
    const dialog = page.getByRole('dialog');
    await page.getByRole('button', { name: 'Attach an address…' }).click();
    await dialog.getByLabel('Address').fill('nbd://a/gone');
    await dialog.getByRole('button', { name: 'Attach' }).click();
    t.match(await dialog.getByRole('alert').textContent(), /connect: ECONNREFUSED \(ECONNREFUSED\)/);
    await dialog.getByLabel('Address').fill('nbd://a/disk nbd://b/disk');
    await dialog.getByLabel('Dead timeout').fill('60');
    await dialog.getByLabel('Read-only').check();
    await dialog.getByRole('button', { name: 'Attach' }).click();
    t.match(await dialog.getByRole('status').textContent(), /^\/dev\/nbd0 is nbd:\/\/a\/disk\.$/);
    await dialog.getByRole('button', { name: 'Close' }).click();
    t.strictSame(context.remotes.calls.at(-1), [
      'attach',
      ['nbd://a/disk', 'nbd://b/disk'],
      { deadTimeout: 60, readOnly: true },
    ]);
    const row = page.locator('tbody tr', { hasText: 'nbd://a/disk' });
    await row.filter({ hasText: 'attached' }).waitFor();
    const remote = {
      ...context.remotes.get(0),
      state: 'waiting' as const,
      since: Date.now(),
      problem: Object.assign(new Error('a:10809: connect: EHOSTUNREACH'), { errno: 'EHOSTUNREACH' as const }),
    };
    context.remotes.devices.set(0, remote);
    context.remotes.events.emit('change', 0, remote);
    await row.filter({ hasText: 'EHOSTUNREACH' }).waitFor();
    t.strictSame(await violations(page), [], 'axe finds nothing');
    await picture(page, 'remotes');
    await page.getByRole('link', { name: 'Devices' }).click();
    await page.locator('.attention', { hasText: 'nbd0 is waiting' }).waitFor();
    await page.getByRole('link', { name: 'Other hosts' }).click();
    await page.getByRole('button', { name: 'Detach /dev/nbd0' }).click();
    await dialog.getByRole('button', { name: 'Detach' }).click();
    await page.getByText('No export of another host').waitFor();
  },
);

t.test(
  'a device whose file is another one after a restart is seen to be down, and why',
  { skip },
  async (t) => {
    await using paged = await PagedDaemon.start(2);
    await using viewer = await view();
    const page = await viewer.open(await paged.url());
    await page.locator('.devices .row', { hasText: 'disk1.img' }).waitFor();
    await paged.daemon.stop();
    renameSync(makeRandomFile(paged.directory.file('new.img'), 1 << 20), paged.directory.file('disk1.img'));
    await paged.restart();
    const note = page.locator('.attention li', { hasText: 'loop1' });
    await note.waitFor({ timeout: 60_000 });
    t.match(await note.textContent(), /could not be brought back from .*disk1\.img/);
    t.strictSame(await violations(page), [], 'axe finds nothing');
    await picture(page, 'down');
    await page.evaluate("location.hash = '#/devices/1'");
    await page.locator('.warning', { hasText: 'could not be brought back' }).waitFor();
  },
);
