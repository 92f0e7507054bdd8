import { truncateSync } from 'node:fs';
import type { Page } from 'playwright-core';
import t from 'tap';
import { closeBrowser, picture, view } from '../helpers/browser.js';
import { comeTo } from '../helpers/keyboard.js';
import { NbdSession } from '../helpers/nbd-session.js';
import { PagedDaemon } from '../helpers/paged-daemon.js';
import { makeSparseFile } from '../helpers/temp.js';
import { skipUnless } from '../helpers/tools.js';
import { until } from '../helpers/until.js';

t.setTimeout(120_000);
const skip = skipUnless('chromium');
t.teardown(closeBrowser);

const dialogOf = (page: Page) => page.getByRole('dialog');

t.test('a file is bound, and the daemon’s own sentence tells why one is not', { skip }, async (t) => {
  await using paged = await PagedDaemon.start(1);
  const { client } = paged.daemon;
  await using viewer = await view();
  const page = await viewer.open(await paged.url());
  await page.getByRole('button', { name: 'Bind a file' }).click();
  const dialog = dialogOf(page);
  await dialog.getByLabel('File').fill(paged.directory.file('missing.img'));
  await dialog.getByRole('button', { name: 'Bind' }).click();
  t.match(await dialog.getByRole('alert').textContent(), /missing\.img does not exist.*\(EBADF\)/);
  t.equal((await client.list()).filter(({ state }) => state === 'bound').length, 1, 'nothing was bound');
  const file = makeSparseFile(paged.directory.file('new.img'), 3 << 20);
  await dialog.getByLabel('File').fill(file);
  await dialog.getByLabel('Offset').fill('1M');
  await dialog.getByLabel('Read-only').check();
  await dialog.getByRole('button', { name: 'Bind' }).click();
  await dialog.getByRole('status').waitFor();
  t.match(await dialog.getByRole('status').textContent(), /^loop1 serves .*new\.img, 2 MiB/);
  await dialog.getByRole('button', { name: 'Close' }).click();
  t.match(await client.device(1), { file, offset: 1 << 20, size: 2 << 20, readOnly: true });
  await page.locator('.devices .row', { hasText: 'new.img' }).waitFor();
});

t.test('direct I/O, capacity and letting go, each after it was confirmed', { skip }, async (t) => {
  await using paged = await PagedDaemon.start(2);
  const { client } = paged.daemon;
  await using viewer = await view();
  const page = await viewer.open(await paged.url());
  await page.getByRole('link', { name: 'loop0' }).click();
  const dialog = dialogOf(page);

  await page.getByRole('button', { name: 'Direct I/O on' }).click();
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  await dialog.waitFor({ state: 'detached' });
  t.match(await client.device(0), { directIo: false }, 'what is not confirmed is not done');
  await page.getByRole('button', { name: 'Direct I/O on' }).click();
  await dialog.getByRole('button', { name: 'Turn on' }).click();
  await dialog.waitFor({ state: 'detached' });
  t.match(await client.device(0), { directIo: true });

  truncateSync(paged.directory.file('disk0.img'), 20 << 20);
  await page.getByRole('button', { name: 'Capacity' }).click();
  await dialog.getByRole('button', { name: 'Take it' }).click();
  t.match(await dialog.getByRole('status').textContent(), /has 20 MiB now; it had 16 MiB/);
  await dialog.getByRole('button', { name: 'Close' }).click();
  await dialog.waitFor({ state: 'detached' });
  t.match(await client.device(0), { size: 20 << 20 });

  const session = await NbdSession.open(paged.daemon.socket, 'loop0');
  await page.getByRole('button', { name: 'Let go' }).click();
  await dialog.getByRole('button', { name: 'Let go' }).click();
  t.match(
    await dialog.getByRole('status').textContent(),
    /is in use, and lets go of its file at the last close/,
  );
  await dialog.getByRole('button', { name: 'Close' }).click();
  await page.getByText('lets go at the last close').first().waitFor();
  session.leave('disc');
  await page.getByRole('button', { name: 'Bind a file' }).waitFor({ timeout: 30_000 });
  t.match(await client.device(0), { state: 'unbound' });
  await page.locator('.events li', { hasText: 'has let go of its file' }).waitFor();
});

t.test('faults, limits and snapshots', { skip }, async (t) => {
  await using paged = await PagedDaemon.start(1);
  makeSparseFile(paged.directory.file('base.img'), 1 << 20);
  await using viewer = await view();
  const page = await viewer.open(await paged.url());
  await page.getByRole('link', { name: 'loop0' }).click();
  const dialog = dialogOf(page);

  await page.getByRole('button', { name: 'Fault…' }).click();
  await dialog.getByRole('textbox', { name: 'Errno' }).fill('ENOTHING');
  await dialog.getByRole('button', { name: 'Add' }).click();
  t.match(await dialog.getByRole('alert').textContent(), /ENOTHING.*\(EINVAL\)/, 'the API’s own sentence');
  await dialog.getByRole('textbox', { name: 'Errno' }).fill('EIO');
  await dialog.getByRole('button', { name: 'Add' }).click();
  await dialog.waitFor({ state: 'detached' });
  const rules = page.locator('section', { hasText: 'Faults and limits' }).locator('tbody tr');
  await rules.first().waitFor();
  const session = await NbdSession.open(paged.daemon.socket, 'loop0');
  t.equal((await session.read(0, 4096)).error, 5, 'the next read meets it');
  await page.locator('.events li.fault', { hasText: 'met a fault: read of 4 KiB at 0' }).waitFor();
  await page.getByRole('button', { name: 'No faults…' }).click();
  await dialog.getByRole('button', { name: 'Take away' }).click();
  await rules.first().waitFor({ state: 'detached' });
  t.equal((await session.read(0, 4096)).error, 0);

  await page.getByRole('button', { name: 'Limits…' }).click();
  await dialog.getByLabel('Requests').fill('500');
  await dialog.getByLabel('Bytes written').fill('2M');
  await dialog.getByRole('button', { name: 'Set' }).click();
  await page.getByText('At most 500 requests/s, 2 MiB written a second.').waitFor();
  t.match(await paged.daemon.client.device(0), {
    limits: { iops: 500, bytesWrite: 2 << 20, iopsRead: null },
  });

  await page.getByRole('button', { name: 'Snapshot…' }).click();
  await dialog.getByLabel('File').fill(paged.directory.file('disk0.img'));
  await dialog.getByRole('button', { name: 'Take it' }).click();
  await dialog.getByRole('alert').waitFor();
  t.match(
    await dialog.getByRole('alert').textContent(),
    /\((EEXIST|EOPNOTSUPP)\)/,
    'there is a file already',
  );
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  session.leave('disc');
  const overlay = { delta: paged.directory.file('top.delta') };
  const { name } = await paged.daemon.client.find({ file: paged.directory.file('base.img'), overlay });
  await page.getByRole('link', { name: 'Devices' }).click();
  await page.getByRole('link', { name, exact: true }).click();
  await page.getByRole('button', { name: 'Snapshot…' }).click();
  await dialog.getByLabel('File').fill(paged.directory.file('kept.delta'));
  await dialog.getByRole('button', { name: 'Take it' }).click();
  t.match(
    await dialog.getByRole('status').textContent(),
    /kept\.delta is (a clone of its file|its delta, sealed).* Requests waited .*s at most\./,
  );
});

t.test('a move and a commit show how far they are; a power cut what it took', { skip }, async (t) => {
  await using paged = await PagedDaemon.start(1);
  const { client, socket } = paged.daemon;
  await using viewer = await view();
  const page = await viewer.open(await paged.url());
  await page.getByRole('link', { name: 'loop0' }).click();
  const dialog = dialogOf(page);
  const session = await NbdSession.open(socket, 'loop0');
  await session.write(0, Buffer.alloc(1 << 20, 7));

  const copy = page.locator('section.copy');
  await copy.getByRole('button', { name: 'Move…' }).click();
  await dialog.getByLabel('File').fill(paged.directory.file('disk0.img'));
  await dialog.getByRole('button', { name: 'Move' }).click();
  t.match(await dialog.getByRole('alert').textContent(), /\(EEXIST\)/);
  await dialog.getByLabel('File').fill(paged.directory.file('moved.img'));
  await dialog.getByLabel('At most').fill('64K');
  await dialog.getByRole('button', { name: 'Move' }).click();
  await dialog.waitFor({ state: 'detached' });
  await copy.getByRole('progressbar').waitFor();
  t.match(await copy.textContent(), /Moving to .*moved\.img.*of 16 MiB, at most 64 KiB a second/);
  await picture(page, 'moving');
  await copy.getByRole('button', { name: 'Cancel the copy…' }).click();
  await dialog.getByRole('button', { name: 'Cancel the copy' }).click();
  await copy.getByText('was cancelled').waitFor();
  t.match(await client.device(0), { file: paged.directory.file('disk0.img') });
  await copy.getByRole('button', { name: 'Move…' }).click();
  await dialog.getByLabel('File').fill(paged.directory.file('moved.img'));
  await dialog.getByRole('button', { name: 'Move' }).click();
  await copy.getByText('Moved to').waitFor();
  t.match(await client.device(0), { file: paged.directory.file('moved.img') });

  await page.getByRole('button', { name: 'Volatile cache on…' }).click();
  await dialog.getByRole('button', { name: 'Turn on' }).click();
  await page.getByText('Its cache is volatile').waitFor();
  await session.write(0, Buffer.alloc(4096, 9));
  await page.getByRole('button', { name: 'Power cut…' }).click();
  await dialog.getByRole('button', { name: 'Cut the power' }).click();
  t.match(
    await dialog.getByRole('status').textContent(),
    /The power went\. Of 1 write that was not durable, 0 were kept\./,
  );
  await dialog.getByRole('button', { name: 'Close' }).click();

  const base = makeSparseFile(paged.directory.file('base.img'), 4 << 20);
  const { name, number } = await client.find({ file: base, overlay: { delta: paged.directory.file('d') } });
  const over = await NbdSession.open(socket, name);
  await over.write(0, Buffer.alloc(8192, 1));
  over.leave('disc');
  await page.evaluate((to) => {
    location.hash = to;
  }, `#/devices/${number}`);
  await copy.getByRole('button', { name: 'Commit…' }).click();
  await dialog.getByRole('button', { name: 'Commit' }).click();
  await copy.getByText('Wrote its delta into').waitFor();
  t.match(await client.device(number), { layers: 1 });
});

t.test('all of it by keyboard alone', { skip }, async (t) => {
  await using paged = await PagedDaemon.start(2);
  await using viewer = await view();
  const page = await viewer.open(await paged.url());
  await page.locator('.devices .row').first().waitFor();
  const tabTo = (name: string): Promise<void> => comeTo(page, name);
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  t.equal(await page.evaluate(() => document.activeElement?.id), 'main', 'the first is a way to the content');
  await tabTo('Filter');
  await page.keyboard.type('loop1');
  await page.locator('.devices .row', { hasText: 'loop0' }).waitFor({ state: 'detached' });
  await tabTo('p99');
  await page.keyboard.press('Enter');
  await page.locator('[role=columnheader][aria-sort]', { hasText: 'p99' }).waitFor();
  await tabTo('loop1');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'loop1' }).waitFor();
  await tabTo('Direct I/O on');
  await page.keyboard.press('Enter');
  await dialogOf(page).waitFor();
  await page.keyboard.press('Escape');
  await dialogOf(page).waitFor({ state: 'detached' });
  t.match(
    await page.evaluate(() => document.activeElement?.outerHTML),
    /^<button[^>]*>Direct I\/O on/,
    'back where it was',
  );
  await page.keyboard.press('Enter');
  await dialogOf(page).waitFor();
  await tabTo('Turn on');
  await page.keyboard.press('Enter');
  await until('it is on', async () => (await paged.daemon.client.device(1)).directIo || undefined);
  await tabTo('10 minutes');
  await page.keyboard.press('ArrowRight');
  await until('the other is chosen', async () => (await page.getByLabel('4 hours').isChecked()) || undefined);
  for (const [name, sign] of [
    ['Other hosts', 'Attach an address'],
    ['Lock order', 'Edges'],
    ['Connections', 'Connections'],
    ['Events', 'Events'],
    ['Daemon', 'Listens on'],
  ] as const) {
    await page.keyboard.press('Control+Home');
    await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
    await page.locator('nav a', { hasText: name }).focus();
    await page.keyboard.press('Enter');
    await page.locator('main', { hasText: sign }).waitFor();
  }
});
