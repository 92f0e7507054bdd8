/** Chromium, as a person has it, and what goes wrong on a page while a test looks at it. */
import { mkdirSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { type BrowserContext, type Browser as ChromiumBrowser, chromium, type Page } from 'playwright-core';
import { tool } from './tools.js';

/** Pictures of a run stay there. */
const PICTURES = join('dist', 'screenshots');

/** A page of ours talks to nobody but its daemon, so the browser's own wishes are turned off. */
const SWITCHES = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** A person's view: with what was kept nowhere else, so that each begins anew. */
export class Viewer implements AsyncDisposable {
  /** Messages of the console that are errors, and exceptions. */
  readonly complaints: string[] = [];
  /** Addresses that were asked for. */
  readonly asked: string[] = [];

  constructor(private readonly context: BrowserContext) {}

  async open(url: string): Promise<Page> {
    const page = await this.context.newPage();
    page.on('console', (message) => {
      if (message.type() === 'error') this.complaints.push(message.text());
    });
    page.on('pageerror', (error) => this.complaints.push(String(error.stack)));
    page.on('request', (request) => this.asked.push(request.url()));
    await page.goto(url);
    return page;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.context.close();
  }
}

/** One browser for all tests of a file: its start takes longer than most of them. */
let browser: Promise<ChromiumBrowser> | undefined;

/** `switches`: of the browser; the first viewer of a file decides. */
export async function view(switches: readonly string[] = []): Promise<Viewer> {
  browser ??= chromium.launch({
    executablePath: tool('chromium'),
    headless: true,
    args: [...SWITCHES, ...switches],
  });
  const context = await (await browser).newContext({ viewport: { width: 1360, height: 860 } });
  context.setDefaultTimeout(60_000);
  return new Viewer(context);
}

/** For the end of a file. */
export async function closeBrowser(): Promise<void> {
  await (await browser)?.close();
}

/** Keeps a picture as a file of the run. */
export async function picture(page: Page, name: string): Promise<void> {
  mkdirSync(PICTURES, { recursive: true });
  await page.screenshot({ path: join(PICTURES, `${name}.png`) });
}

/** A way to a server that a test can cut: a browser sees a network that fails. */
export class CutWay implements AsyncDisposable {
  readonly #sockets = new Set<Socket>();
  #isCut = false;

  private constructor(
    private readonly server: Server,
    readonly port: number,
  ) {}

  static start(target: number): Promise<CutWay> {
    return new Promise((resolve) => {
      const server = createServer((socket) => way.#pass(socket, target));
      let way: CutWay;
      server.listen(0, '127.0.0.1', () => {
        const address = server.address();
        way = new CutWay(server, typeof address === 'object' && address !== null ? address.port : 0);
        resolve(way);
      });
    });
  }

  /** Ends all connections, and takes no more. */
  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend(): void {
    this.#isCut = false;
  }

  #pass(socket: Socket, port: number): void {
    if (this.#isCut) {
      socket.destroy();
      return;
    }
    const target = connect(port, '127.0.0.1');
    for (const [one, other] of [
      [socket, target],
      [target, socket],
    ] as const) {
      this.#sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        this.#sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    return new Promise((resolve) => this.server.close(() => resolve()));
  }
}
