/** The page's server before loops that a test has, and requests as programs send them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { pathToFileURL } from 'node:url';
import type { Test } from 'tap';
import { Journal } from '../../../driver/web/journal.js';
import { WebServer } from '../../../driver/web/web-server.js';
import { TempDir } from '../../helpers/temp.js';
import { fakeContext } from '../control/fake-loops.js';

export interface Asked {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: object;
}

export async function servePage(t: Test) {
  const dir = new TempDir();
  t.teardown(() => dir[Symbol.dispose]());
  mkdirSync(dir.file('page', 'assets'), { recursive: true });
  writeFileSync(dir.file('page', 'index.html'), '<!doctype html><title>nbdloop</title>');
  writeFileSync(dir.file('page', 'assets', 'x-1234.js'), 'export {};');
  writeFileSync(dir.file('page', 'assets', 'x-1234.js.gz'), 'compressed');
  const context = fakeContext();
  const journal = new Journal(context.loops);
  const start = () =>
    WebServer.start(context, {
      ...{ host: '127.0.0.1', port: 0, insecure: false, journal, onFailure: 'reject' },
      ...{ stateDirectory: dir.path, assets: pathToFileURL(`${dir.file('page')}/`) },
    });
  const server = await start();
  t.teardown(() => server.close());
  const { origin, token } = server.address();
  const bearer = { authorization: `Bearer ${token}` };
  const ask = (path: string, { method = 'GET', headers = {}, body }: Asked = {}) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const sent: ClientRequest = request(new URL(path, origin), {
        ...{ method, agent: false, setHost: headers.host === undefined },
        headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
      });
      sent.once('response', resolve).once('error', reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  const answer = async (path: string, asked: Asked = {}) => {
    const response = await ask(path, asked);
    const text = await response.setEncoding('utf8').toArray();
    return { status: response.statusCode, headers: response.headers, text: text.join('') };
  };
  return { context, dir, server, start, journal, origin, bearer, ask, answer };
}

/** The events of a stream as they come. */
export function reading(stream: IncomingMessage) {
  const seen: { id: string | undefined; event: string | undefined; data: Record<string, unknown> }[] = [];
  let rest = '';
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    const blocks = (rest + chunk).split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];
      const data = field('data');
      if (data !== undefined) seen.push({ id: field('id'), event: field('event'), data: JSON.parse(data) });
    }
  });
  return seen;
}
