import type { Page } from 'playwright-core';
import t from 'tap';
import { violations } from '../helpers/axe.js';
import { CutWay, closeBrowser, picture, view } from '../helpers/browser.js';
import { PagedDaemon } from '../helpers/paged-daemon.js';
import { makeSparseFile } from '../helpers/temp.js';
import { skipUnless } from '../helpers/tools.js';

t.setTimeout(180_000);
const skip = skipUnless('chromium');
t.teardown(closeBrowser);

const stateOf = (page: Page, state: 'live' | 'lost' | 'locked') =>
  page.locator(`.link-state.${state}`).waitFor({ timeout: 30_000 });

/** What the page tells of devices, the oldest first. */
async function told(page: Page): Promise<string[]> {
  const texts = await page.locator('.events li.device > span').allTextContents();
  return texts.map((text) => text.replace(/\s+/g, ' ').trim()).reverse();
}

t.test('no event is lost while there is no connection, and none told twice', { skip }, async (t) => {
  await using paged = await PagedDaemon.start(1);
  await using way = await CutWay.start(paged.port);
  const { client } = paged.daemon;
  await using viewer = await view();
  const page = await viewer.open(`${await paged.url(way.port)}`);
  await stateOf(page, 'live');
  await page.getByRole('link', { name: 'Events' }).click();
  await page.locator('.events li').first().waitFor();
  const file = makeSparseFile(paged.directory.file('other.img'), 1 << 20);
  for (let round = 0; round < 3; round++) {
    way.cut();
    await stateOf(page, 'lost');
    for (let turn = 0; turn < 10; turn++) {
      const { number } = await client.find({ file });
      await client.clear(number);
      await client.remove(number);
    }
    way.mend();
    await stateOf(page, 'live');
  }
  const last = await client.find({ file });
  await page
    .locator('.events li', { hasText: `${last.name} serves` })
    .first()
    .waitFor();
  const once = ['loop1 was added', 'loop1 serves', 'loop1 has let go of its file', 'loop1 was removed'];
  const seen = (await told(page))
    .slice(2)
    .map((text) => once.find((start) => text.startsWith(start)) ?? text);
  const wanted = [...Array.from({ length: 30 }, () => once).flat(), ...once.slice(0, 2)];
  t.strictSame(seen, wanted);
  await page.getByRole('link', { name: 'Devices' }).click();
  await page.locator('.devices .row', { hasText: 'other.img' }).waitFor();
  t.equal(await page.locator('.devices .row').count(), 2);
});

t.test(
  'a page that is open goes on with the next daemon, under the token that it has',
  { skip },
  async (t) => {
    await using paged = await PagedDaemon.start(2);
    await using viewer = await view();
    const page = await viewer.open(await paged.url());
    await stateOf(page, 'live');
    await page.locator('.devices .row', { hasText: 'disk1.img' }).waitFor();
    await paged.daemon.stop();
    await stateOf(page, 'lost');
    await page.locator('.warning', { hasText: 'No connection to the daemon since' }).waitFor();
    t.strictSame(await violations(page), [], 'axe finds nothing');
    await picture(page, 'no-connection');
    await paged.restart();
    await stateOf(page, 'live');
    await page.locator('.warning').waitFor({ state: 'detached' });
    const file = makeSparseFile(paged.directory.file('later.img'), 1 << 20);
    await paged.daemon.client.find({ file });
    await page.locator('.devices .row', { hasText: 'later.img' }).waitFor({ timeout: 30_000 });
    t.equal(await page.locator('.devices .row').count(), 3, 'what came back, and what is new');
    await page.getByRole('link', { name: 'Events' }).click();
    await page.getByText(`Another daemon: process ${paged.daemon.pid}.`).waitFor();
  },
);

t.test(
  'a wrong, an old and a missing token show nothing; the right one can be put in',
  { skip },
  async (t) => {
    await using paged = await PagedDaemon.start(1);
    await using viewer = await view();
    const url = await paged.url();
    for (const address of [url.replace(/#.*/, ''), url.replace(/#token=.{6}/, '#token=AAAAAA')]) {
      const page = await viewer.open(address);
      await stateOf(page, 'locked');
      t.equal(await page.getByText('disk0.img').count(), 0);
      await page.getByLabel('Address or token').fill('no token');
      await page.getByRole('button', { name: 'Open' }).click();
      await page.getByText('That is not the present token.').waitFor();
      await page.getByLabel('Address or token').fill(url);
      await page.getByRole('button', { name: 'Open' }).click();
      await page.locator('.devices .row', { hasText: 'disk0.img' }).waitFor();
      await page.close();
    }
    const page = await viewer.open(url);
    await stateOf(page, 'live');
    const next = await paged.daemon.cliOk('nbdloop', 'web', '--new-token');
    t.not(next, url);
    await stateOf(page, 'locked');
    await picture(page, 'locked');
    const reopened = await viewer.open(url);
    await stateOf(reopened, 'locked');
  },
);

t.test('a thousand devices: all are found, few are drawn', { skip }, async (t) => {
  await using paged = await PagedDaemon.start(1);
  const { client } = paged.daemon;
  for (let number = 1; number < 1000; number += 50) {
    await Promise.all(Array.from({ length: Math.min(50, 1000 - number) }, () => client.add()));
  }
  await client.configure(777, { file: makeSparseFile(paged.directory.file('far.img'), 1 << 20) });
  await paged.keepBusy('loop0');
  await using viewer = await view();
  const page = await viewer.open(await paged.url());
  await page.locator('.totals', { hasText: '2 of 1000 devices bound' }).waitFor({ timeout: 60_000 });
  t.ok((await page.locator('.devices .row').count()) < 80, 'those that can be seen');
  t.equal(await page.locator('.devices').getAttribute('aria-rowcount'), '1001');
  await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
  await page.locator('.devices .row', { hasText: 'loop999' }).waitFor();
  t.ok((await page.locator('.devices .row').count()) < 80);
  await picture(page, 'thousand');
  await page.evaluate(() => scrollTo(0, 0));
  await page.getByLabel('Filter by name').fill('far.img');
  await page.locator('.devices .row', { hasText: 'far.img' }).waitFor();
  t.equal(await page.locator('.devices .row').count(), 1);
  await page.getByLabel('Filter by name').fill('');
  await page.locator('.devices .row .rate', { hasText: /\d/ }).first().waitFor({ timeout: 30_000 });
  t.strictSame(viewer.complaints, []);
});
