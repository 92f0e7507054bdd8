import type { Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { violations } from '../helpers/axe.js';
import { closeBrowser, picture, view } from '../helpers/browser.js';
import { PagedDaemon } from '../helpers/paged-daemon.js';
import { makeSparseFile } from '../helpers/temp.js';
import { skipUnless } from '../helpers/tools.js';

t.setTimeout(180_000);
const skip = skipUnless('chromium');
t.teardown(closeBrowser);

/** Each view, and what is there once it is. */
const VIEWS = [
  ['devices', '#/', '.devices .row .spark path'],
  ['device', '#/devices/0', '.chart.heat canvas'],
  ['overlay', '#/devices/6', '.layers li'],
  ['overlays', '#/overlays', '.tree .tree .tag'],
  ['remotes', '#/remotes', '.head .totals'],
  ['locks', '#/locks', '.graph .box'],
  ['connections', '#/connections', 'tbody tr'],
  ['events', '#/events', '.events li'],
  ['daemon', '#/daemon', '.charts canvas'],
] as const;

async function lookAtAll(t: Test, page: Page, name: string): Promise<void> {
  for (const [view, hash, sign] of VIEWS) {
    await page.evaluate((to) => {
      location.hash = to;
    }, hash);
    await page.locator(sign).first().waitFor({ state: 'attached', timeout: 30_000 });
    t.strictSame(await violations(page), [], `${view} ${name}: axe finds nothing`);
    const { wide, there } = await page.evaluate(() => ({
      wide: document.documentElement.scrollWidth,
      there: document.documentElement.clientWidth,
    }));
    t.ok(wide <= there, `${view} ${name}: nothing sticks out (${wide} of ${there})`);
    await picture(page, `${view}-${name}`);
  }
}

t.test('every view of a busy daemon, light and dark, at a desk and on a phone', { skip }, async (t) => {
  await using paged = await PagedDaemon.start(6);
  for (const device of ['loop0', 'loop1', 'loop4']) await paged.keepBusy(device);
  const { client } = paged.daemon;
  await client.directIo(0, true);
  await client.directIo(0, false);
  const base = makeSparseFile(paged.directory.file('golden.img'), 64 << 20);
  for (const delta of ['first.delta', 'second.delta']) {
    await client.find({ file: base, overlay: { delta: paged.directory.file(delta) } });
  }
  await paged.keepBusy('loop6');
  await paged.ask('POST', '/devices/4/faults', {
    rules: [
      { kind: 'delay', delay: { distribution: 'fixed', ms: 150 }, operations: ['read'], probability: 0.2 },
    ],
  });
  await paged.ask('PATCH', '/devices/6/limits', { iops: 400 });
  await using viewer = await view();
  const page = await viewer.open(await paged.url());
  for (const [name, colorScheme, width, height] of [
    ['light-desk', 'light', 1360, 860],
    ['dark-desk', 'dark', 1360, 860],
    ['light-phone', 'light', 390, 844],
  ] as const) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height });
    await lookAtAll(t, page, name);
  }
  await page.evaluate(() => {
    location.hash = '#/';
  });
  await page.locator('.devices .row').first().waitFor();
  for (const width of [1360, 1290, 1200, 1010, 900, 841, 840, 500, 360]) {
    await page.setViewportSize({ width, height: 800 });
    const cut = await page.evaluate(() => {
      const frame = document.querySelector('.devices')?.getBoundingClientRect();
      const cells = [...document.querySelectorAll('.devices [role=cell], .devices [role=columnheader]')];
      return cells.filter((cell) => cell.getBoundingClientRect().right > (frame?.right ?? 0)).length;
    });
    t.equal(cut, 0, `no column is cut at ${width} pixels`);
  }
  // The README's, by hand: docs/images/page.png.
  await page.setViewportSize({ width: 1100, height: 720 });
  await page.evaluate(() => {
    location.hash = '#/devices/4';
  });
  await page.locator('.chart.heat canvas').waitFor();
  await page.locator('.warning', { hasText: 'It is slow since' }).waitFor();
  await picture(page, 'readme');
  t.strictSame(viewer.complaints, [], 'the policy of content stops nothing, and nothing throws');
  const origin = `http://127.0.0.1:${paged.port}`;
  t.strictSame(
    [...new Set(viewer.asked.map((url) => new URL(url).origin))],
    [origin],
    'nothing else is asked',
  );
  t.ok(
    viewer.asked.every((url) => !url.includes('token')),
    'the token is in no address that is sent',
  );
  t.equal(await page.evaluate(() => location.href.includes('token')), false, 'nor is it left in the address');
});

t.test('the first paint takes less than a second, and little is fetched for it', { skip }, async (t) => {
  await using paged = await PagedDaemon.start(2);
  await using viewer = await view();
  const url = await paged.url();
  const paints: number[] = [];
  for (let turn = 0; turn < 3; turn++) {
    const page = await viewer.open(url);
    await page.locator('.devices .row').first().waitFor();
    const { paint, bytes } = await page.evaluate(() => {
      const [first] = performance.getEntriesByName('first-contentful-paint');
      const loads = [
        ...performance.getEntriesByType('navigation'),
        ...performance.getEntriesByType('resource'),
      ];
      const sizes = loads.map((entry) => (entry as PerformanceResourceTiming).transferSize);
      return {
        paint: first?.startTime ?? Number.POSITIVE_INFINITY,
        bytes: sizes.reduce((sum, size) => sum + size, 0),
      };
    });
    t.ok(bytes < 150_000, `${bytes} bytes were sent for it`);
    paints.push(paint);
    await page.close();
  }
  const best = Math.min(...paints);
  t.comment(`first contentful paint after ${paints.map((paint) => paint.toFixed(0)).join(', ')} ms`);
  t.ok(best < 1000, `first paint after ${best.toFixed(0)} ms`);
});

/** A name that turns around what follows, breaks the line, and looks like markup. */
const ODD_NAME = 'odd \u202egnp.exe\n<b>\u00fc&amp; "q" \'.img';

t.test('names that are long or odd are shown whole, and nothing sticks out', { skip }, async (t) => {
  await using paged = await PagedDaemon.start(0);
  const { client, directory } = paged.daemon;
  const exportName = `a long name ${'x'.repeat(200)}`;
  await client.find({ file: makeSparseFile(directory.file(ODD_NAME), 1 << 20), exportName });
  await client.find({ file: makeSparseFile(directory.file(`${'long-'.repeat(40)}end.img`), 1 << 20) });
  await using viewer = await view();
  const page = await viewer.open(await paged.url());
  for (const width of [1440, 390]) {
    await page.setViewportSize({ width, height: 844 });
    for (const hash of ['#/', '#/devices/0', '#/devices/1', '#/events']) {
      await page.evaluate((to) => {
        location.hash = to;
      }, hash);
      await page.getByText('end.img').or(page.getByText('gnp.exe')).first().waitFor();
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      t.ok(wide <= width, `${hash}: ${wide} of ${width} pixels`);
      t.notMatch(await page.textContent('main'), /\u202e|<b>\u00fc.*<\/b>/);
    }
  }
  await page.evaluate(() => {
    location.hash = '#/devices/0';
  });
  await page.locator('h1', { hasText: 'loop0' }).waitFor();
  t.match(await page.locator('.head .file').textContent(), 'odd \\u202egnp.exe\\u000a<b>ü&amp; "q" \'.img');
});

t.test('the numbers on the page are the daemon’s', { skip }, async (t) => {
  await using paged = await PagedDaemon.start(3);
  await paged.keepBusy('loop1');
  await using viewer = await view();
  const page = await viewer.open(await paged.url());
  const row = page.locator('.devices .row', { hasText: 'loop1' });
  await row.locator('.rate', { hasText: /^\d/ }).waitFor({ timeout: 30_000 });
  t.match(await row.locator('.p99').textContent(), /^< [\d.]+ (µs|ms)$/);
  t.equal(await row.locator('.openers').textContent(), '1');
  t.match(await row.locator('.size').textContent(), /16 MiB/);
  await page.getByRole('link', { name: 'loop1' }).click();
  const sessions = page.locator('section', { hasText: 'Sessions' }).locator('tbody tr');
  await sessions.first().waitFor({ timeout: 30_000 });
  t.match(await sessions.first().textContent(), /unix/);
  await paged.daemon.client.directIo(1, true);
  const freeze = page.locator('section', { hasText: 'Freezes' }).locator('tbody tr').first();
  await freeze.filter({ hasText: /set_dio|dio/i }).waitFor({ timeout: 30_000 });
  const [told] = await paged.daemon.client.freezes(1);
  t.match(told, { waited: Number, held: Number });
  await page.getByText('direct I/O', { exact: true }).waitFor();
  // As a daemon answers in its first minute.
  const rates = { reads: [], writes: [], readBytes: [], writtenBytes: [], errors: [], p50: [], p99: [] };
  await page.route('**/history?tier=coarse*', (route) =>
    route.fulfill({ json: { period: 60_000, end: Date.now(), rates, heat: [] } }),
  );
  await page.getByText('4 hours').click();
  await page.getByText('Nothing yet: the first minute is not over.').waitFor();
  t.equal(await page.locator('.charts canvas').count(), 0, 'and no axis without times');
});
