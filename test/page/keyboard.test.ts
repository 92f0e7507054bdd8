import type { Page } from 'playwright-core';
import t from 'tap';
import { Journal } from '../../driver/web/journal.js';
import { WebServer } from '../../driver/web/web-server.js';
import { closeBrowser, view } from '../helpers/browser.js';
import { comeTo, press, tick, type } from '../helpers/keyboard.js';
import { NbdSession } from '../helpers/nbd-session.js';
import { PagedDaemon } from '../helpers/paged-daemon.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless } from '../helpers/tools.js';
import { until } from '../helpers/until.js';
import { fakeContext } from '../unit/control/fake-loops.js';

t.setTimeout(180_000);
const skip = skipUnless('chromium');
t.teardown(closeBrowser);

const dialogOf = (page: Page) => page.getByRole('dialog');
const refusal = async (page: Page): Promise<string> =>
  (await dialogOf(page).getByRole('alert').textContent()) ?? '';
const isClosed = (page: Page): Promise<void> => dialogOf(page).waitFor({ state: 'detached' });

async function goTo(page: Page, hash: string, sign: string): Promise<void> {
  await page.evaluate(`location.hash = '${hash}'`);
  await page.locator('main', { hasText: sign }).waitFor();
}

t.test('overlays by keyboard: flatten, cancel, commit, and why not', { skip }, async (t) => {
  await using paged = await PagedDaemon.start(0);
  const { client, socket } = paged.daemon;
  const { directory } = paged;
  const base = makeSparseFile(directory.file('base.img'), 16 << 20);
  const taken = makeSparseFile(directory.file('taken.img'), 1 << 20);
  const over = async (delta: string) => {
    const device = await client.find({ file: base, overlay: { delta: directory.file(delta) } });
    const session = await NbdSession.open(socket, device.name);
    await session.write(0, Buffer.alloc(8 << 20, 5));
    session.leave('disc');
    return device.number;
  };
  const first = await over('first.delta');
  await over('second.delta');
  await using viewer = await view();
  const page = await viewer.open(await paged.url());
  const copy = page.locator('section.copy');
  await goTo(page, `#/devices/${first}`, 'Flatten');

  await press(page, 'Commit…');
  await press(page, 'Commit');
  t.match(await refusal(page), /base\.img.*\(EBUSY\)/, 'another device has the base');
  await page.keyboard.press('Escape');
  await isClosed(page);

  await press(page, 'Flatten…');
  await type(page, 'File', taken);
  await press(page, 'Flatten');
  t.match(await refusal(page), /taken\.img.*\(EEXIST\)/);
  await type(page, 'File', directory.file('flat.img'));
  await type(page, 'At most', 'fast');
  await press(page, 'Flatten');
  await until('the other refusal', async () => /\(EINVAL\)/.test(await refusal(page)) || undefined);
  await type(page, 'At most', '64K');
  await press(page, 'Flatten');
  await isClosed(page);
  await copy.getByRole('progressbar').waitFor();
  t.match(await copy.textContent(), /Making one file of it: .*flat\.img.*at most 64 KiB a second/);

  await press(page, 'Cancel the copy…');
  await page.keyboard.press('Escape');
  await isClosed(page);
  t.equal((await client.device(first)).layers, 2, 'what is not confirmed is not done');
  await press(page, 'Cancel the copy…');
  await press(page, 'Cancel the copy');
  await copy.getByText('was cancelled').waitFor();
  t.match(await client.device(first), { layers: 2, delta: directory.file('first.delta') });

  await press(page, 'Flatten…');
  await press(page, 'Flatten');
  await copy.getByText('Made one file of it').waitFor();
  t.match(await client.device(first), { layers: 1, file: directory.file('first.delta') });
  await copy.getByRole('button', { name: 'Flatten…' }).waitFor({ state: 'detached' });
  t.strictSame(
    viewer.complaints.filter((text) => !/status of (400|409|422)/.test(text)),
    [],
  );
});

t.test('faults, limits and power cuts by keyboard, and why not', { skip }, async (t) => {
  await using paged = await PagedDaemon.start(1);
  const { client, socket } = paged.daemon;
  await using viewer = await view();
  const page = await viewer.open(await paged.url());
  await goTo(page, '#/devices/0', 'Faults and limits');
  const rules = page.locator('section', { hasText: 'Faults and limits' }).locator('tbody tr');

  await press(page, 'Fault…');
  await comeTo(page, 'A request');
  await page.keyboard.type('hangs');
  await type(page, 'At most', 'some');
  await press(page, 'Add');
  t.match(await refusal(page), /count.*\(EINVAL\)/);
  await type(page, 'At most', '1');
  await press(page, 'Add');
  await isClosed(page);
  await press(page, 'Fault…');
  await tick(page, 'write');
  await press(page, 'Add');
  await isClosed(page);
  await until('both are there', async () => (await rules.count()) === 2 || undefined);
  t.match(await rules.nth(1).textContent(), /EIO.*read, write/);

  const session = await NbdSession.open(socket, 'loop0');
  const hung = session.read(0, 4096);
  await page.getByRole('button', { name: 'Release what hangs…' }).waitFor();
  await press(page, 'Release what hangs…');
  await press(page, 'Release');
  await isClosed(page);
  await hung;
  const second = (await rules.nth(1).locator('code').textContent()) ?? '';
  await press(page, `Remove rule ${second}`);
  await page.keyboard.press('Escape');
  await isClosed(page);
  t.equal(await rules.count(), 2, 'what is not confirmed is not done');
  await press(page, `Remove rule ${second}`);
  await paged.ask('PUT', '/devices/0/faults', { rules: [] });
  await press(page, 'Take away');
  t.match(await refusal(page), new RegExp(`${second}.*\\(ENOENT\\)`), 'it is gone already');
  await page.keyboard.press('Escape');
  await isClosed(page);
  await until('none is there', async () => (await rules.count()) === 0 || undefined);

  await press(page, 'Limits…');
  await type(page, 'Reads', 'many');
  await press(page, 'Set');
  t.match(await refusal(page), /iopsRead.*\(EINVAL\)/);
  await type(page, 'Reads', '250');
  await press(page, 'Set');
  await isClosed(page);
  await page.getByText('At most 250 reads/s.').waitFor();
  await press(page, 'Limits…');
  await comeTo(page, 'Reads');
  t.equal(await page.evaluate('document.activeElement.value'), '250', 'what is in force can be changed');
  await type(page, 'Reads', '');
  await press(page, 'Set');
  await isClosed(page);
  t.match(await client.device(0), { limits: { iopsRead: null } });

  await press(page, 'Volatile cache on…');
  await press(page, 'Turn on');
  await isClosed(page);
  await session.write(0, Buffer.alloc(4096, 9));
  await press(page, 'Power cut…');
  await comeTo(page, 'What was not made durable');
  await page.keyboard.type('is lost or');
  await type(page, 'Seed', 'x');
  await press(page, 'Cut the power');
  t.match(await refusal(page), /seed.*\(EINVAL\)/);
  await type(page, 'Seed', '7');
  await tick(page, 'some sectors may be kept');
  await press(page, 'Cut the power');
  t.match(
    await dialogOf(page).getByRole('status').textContent(),
    /^The power went\. Of 1 write that was not durable, [01] (was|were) kept.* Seed 7\.$/,
  );
  await page.keyboard.press('Escape');
  await isClosed(page);
  await press(page, 'Power cut…');
  await client.clear(0);
  await press(page, 'Cut the power');
  t.match(await refusal(page), /loop0.*\(ENXIO\)/, 'somebody let go of the file meanwhile');
});

t.test('a device of another host that is in use is detached by force alone', { skip }, async (t) => {
  using directory = new TempDir();
  const context = fakeContext();
  const server = await WebServer.start(context, {
    ...{ host: '127.0.0.1', port: 0, insecure: false, journal: new Journal(context.loops) },
    ...{ stateDirectory: directory.path, onFailure: 'reject' },
  });
  t.teardown(() => server.close());
  await context.remotes.attach(['nbd://a/disk'], {});
  context.remotes.used.add(0);
  await using viewer = await view();
  const page = await viewer.open(server.address().url);
  await goTo(page, '#/remotes', 'nbd://a/disk');
  await press(page, 'Detach /dev/nbd0');
  await press(page, 'Detach');
  t.match(await refusal(page), /^\/dev\/nbd0 is in use \(EBUSY\)$/);
  t.equal(context.remotes.devices.size, 1);
  await tick(page, 'Now, whoever has it open');
  await press(page, 'Detach');
  await page.getByText('No export of another host').waitFor();
  t.equal(context.remotes.devices.size, 0);
});
