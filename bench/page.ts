/**
 * What it costs that somebody looks: `npm run bench:page`, on an idle machine. 100 devices, fio busy on one of them, and in turns
 * nobody, three readers of the events, and these with a page open in Chromium (SCHED_IDLE: its own work is not the daemon's).
 */
import { readdirSync, readFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import { closeBrowser, view } from '../test/helpers/browser.js';
import { PagedDaemon } from '../test/helpers/paged-daemon.js';
import { runFio } from './clients/fio.js';
import { median, spread } from './statistics.js';
import { run } from './system/process.js';

const DEVICES = 100;
const READERS = 3;
const SECONDS = 5;
const ROUNDS = 6;
/** A core's share that the main thread may use, and the data path's that it may lose. */
const LIMIT = 0.02;

const LOOKS = ['nobody', 'three readers', 'and the list of devices', 'and the page of the busy one'] as const;
type Look = (typeof LOOKS)[number];
const PAGES: Partial<Record<Look, string>> = {
  'and the list of devices': '#/',
  'and the page of the busy one': '#/devices/0',
};

/** Nanoseconds that a thread ran, by its id (schedstat of proc(5)). */
function threadTimes(pid: number): Map<number, number> {
  const directory = `/proc/${pid}/task`;
  return new Map(
    readdirSync(directory).map((id) => [
      Number(id),
      Number(readFileSync(`${directory}/${id}/schedstat`, 'latin1').split(' ')[0]),
    ]),
  );
}

interface Round {
  /** Share of a core. */
  readonly mainThread: number;
  /** A second. */
  readonly requests: number;
  /** Microseconds of all other threads a request. */
  readonly perRequest: number;
}

async function measure(paged: PagedDaemon, seed: number): Promise<Round> {
  const { pid } = paged.daemon;
  const before = threadTimes(pid);
  const began = performance.now();
  const { requests = Number.NaN, seconds } = await runFio(
    `nbd+unix:///loop0?socket=${paged.daemon.socket}`,
    { client: 'fio', pattern: 'randrw', blockSize: 4096, depth: 16, connections: 1 },
    { runtime: SECONDS, seed, direct: false, signal: AbortSignal.timeout(60_000) },
  );
  const nanoseconds = (performance.now() - began) * 1e6;
  let others = 0;
  let main = 0;
  for (const [id, time] of threadTimes(pid)) {
    const spent = time - (before.get(id) ?? 0);
    if (id === pid) main = spent;
    else others += spent;
  }
  return {
    mainThread: main / nanoseconds,
    requests: requests / seconds,
    perRequest: others / 1000 / requests,
  };
}

function readEvents(url: string): Promise<IncomingMessage> {
  const { origin, hash } = new URL(url);
  const headers = { authorization: `Bearer ${hash.slice('#token='.length)}` };
  return new Promise((resolve, reject) => {
    request(`${origin}/api/events`, { agent: false, headers })
      .once('response', (response) => resolve(response.resume()))
      .once('error', reject)
      .end();
  });
}

/** How this thread is scheduled, and what it starts from then on: chrt(1). */
const schedule = (policy: '--idle' | '--other'): Promise<string> =>
  run('chrt', [policy, '--pid', '0', String(process.pid)], { timeout: 10_000 });

/** A browser that takes what others leave of the processors. */
async function openPage(url: string): Promise<Page> {
  await schedule('--idle');
  try {
    return await (await view()).open(url);
  } finally {
    await schedule('--other');
  }
}

async function show(page: Page, hash: string | undefined): Promise<void> {
  await page.goto(hash === undefined ? 'about:blank' : hash);
  if (hash !== undefined) await page.locator('.link-state.live').waitFor();
}

async function main(): Promise<void> {
  await using paged = await PagedDaemon.start(DEVICES);
  const url = await paged.url();
  const page = await openPage(url);
  await page.locator('.devices .row').first().waitFor();
  const rounds = new Map<Look, Round[]>(LOOKS.map((look) => [look, []]));
  await measure(paged, 0);
  for (let round = 1; round <= ROUNDS; round++) {
    for (const look of round % 2 === 0 ? LOOKS.toReversed() : LOOKS) {
      const readers =
        look === 'nobody' ? [] : await Promise.all(Array.from({ length: READERS }, () => readEvents(url)));
      const place = PAGES[look];
      await show(page, place === undefined ? undefined : `${new URL(url).origin}/${place}`);
      await sleep(1000);
      const measured = await measure(paged, round);
      rounds.get(look)?.push(measured);
      process.stderr.write(
        `${round} ${look}: main thread ${percent(measured.mainThread)}, ${measured.requests.toFixed(0)} requests/s\n`,
      );
      for (const reader of readers) reader.destroy();
    }
  }
  await closeBrowser();
  report(rounds);
}

const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;

function report(rounds: ReadonlyMap<Look, readonly Round[]>): void {
  const base = rounds.get('nobody') ?? [];
  const lines = [
    '| who looks | main thread | at most | requests/s | to nobody | spread | CPU a request, us | to nobody |',
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
  ];
  const failures: string[] = [];
  for (const [look, all] of rounds) {
    const of = (pick: (round: Round) => number, from = all): number[] => from.map(pick);
    const ratio = (pick: (round: Round) => number): number => median(of(pick)) / median(of(pick, base));
    const busy = median(of(({ mainThread }) => mainThread));
    const rate = ratio(({ requests }) => requests);
    const cpu = ratio(({ perRequest }) => perRequest);
    lines.push(
      `| ${[
        look,
        percent(busy),
        percent(Math.max(...of(({ mainThread }) => mainThread))),
        median(of(({ requests }) => requests)).toFixed(0),
        rate.toFixed(3),
        percent(spread(of(({ requests }) => requests))),
        median(of(({ perRequest }) => perRequest)).toFixed(2),
        cpu.toFixed(3),
      ].join(' | ')} |`,
    );
    if (!(busy < LIMIT)) failures.push(`${look}: the main thread uses ${percent(busy)} of a core`);
    if (!(rate > 1 - LIMIT))
      failures.push(`${look}: ${rate.toFixed(3)} of the requests that are served when nobody looks`);
  }
  process.stdout.write(`${lines.join('\n')}\n`);
  for (const failure of failures) process.stdout.write(`${failure}\n`);
  process.exitCode = failures.length > 0 ? 1 : 0;
}

await main();
