import { EventEmitter } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { Journal } from '../../../driver/web/journal.js';
import type { Sample } from '../../../driver/web/live-messages.js';
import { Streams } from '../../../driver/web/streams.js';
import { until } from '../../helpers/until.js';
import { fakeContext } from '../control/fake-loops.js';
import { reading, servePage } from './served-page.js';

type Seen = ReturnType<typeof reading>;

const numbersOf = (seen: Seen): number[] =>
  seen.filter(({ event }) => event === 'device').map(({ data }) => (data.event as { device: number }).device);
const lastIdOf = (seen: Seen): string => seen.findLast(({ id }) => id !== undefined)?.id ?? '';
const from = (first: number, end: number): number[] =>
  Array.from({ length: end - first }, (_, index) => first + index);

const NO_SAMPLE: Sample = {
  ...{ at: 0, devices: [] },
  daemon: { connections: 0, memory: 0, processors: 0, mainThread: 0 },
};
/** What a response holds back at most: Node's own mark, 64 KiB from Node 22 on, and some events more. */
const HELD = 72 * 1024;

/** Streams alone, of events of a kilobyte each; `responses`: the daemon's end of each reader, in order. */
async function serveStreams(t: Test, remembered?: number) {
  const events = new EventEmitter();
  const journal = new Journal({ events }, remembered);
  const streams = new Streams({ journal, latest: () => NO_SAMPLE, daemon: fakeContext().daemon });
  const responses: ServerResponse[] = [];
  const server = createServer(({ headers }, response) => {
    const id = headers['last-event-id'];
    responses.push(response);
    streams.add(response, typeof id === 'string' ? id : undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const status = { name: 'x'.repeat(1024) };
  const emit = (first: number, end: number): void => {
    for (let device = first; device < end; device++)
      events.emit('change', { device, kind: 'change', sequence: device, status });
  };
  const ask = (id?: string): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const headers = id === undefined ? {} : { 'last-event-id': id };
      request({ port, agent: false, headers }).once('response', resolve).once('error', reject).end();
    });
  /** A reader that takes nothing. */
  const deaf = async (): Promise<Socket> => {
    const count = responses.length;
    const socket = connect(port, '127.0.0.1').pause();
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await until('it is there', async () => responses.length > count || undefined);
    return socket;
  };
  return { journal, streams, server, responses, emit, ask, deaf };
}

t.test('who never reads costs little, and is let go; the others are told everything', async (t) => {
  const { journal, streams, responses, emit, ask, deaf } = await serveStreams(t, 2000);
  const socket = await deaf();
  const gone = new Promise((resolve) => responses[0]?.once('close', resolve));
  const seen = reading(await ask());
  for (let first = 0; first < 5000; first += 1000) {
    emit(first, first + 1000);
    await until('the other was told', async () => numbersOf(seen).length === first + 1000 || undefined);
  }
  t.strictSame(numbersOf(seen), from(0, 5000));
  t.ok(journal.end - journal.start <= 3000, 'old events are forgotten');
  t.ok((responses[0]?.writableLength ?? HELD) < HELD, `${responses[0]?.writableLength} bytes wait for it`);
  for (let sample = 0; sample < 15; sample++) streams.sample(NO_SAMPLE);
  await gone;
  t.equal(responses[1]?.destroyed, false, 'the other stays');
  socket.destroy();
});

t.test('a slow reader is told all, in order; one that is too far behind how much it missed', async (t) => {
  const { responses, emit, ask } = await serveStreams(t, 4000);
  const slow = await ask();
  slow.pause();
  emit(0, 5000);
  t.ok((responses[0]?.writableLength ?? HELD) < HELD);
  const seen = reading(slow);
  slow.resume();
  await until('it came to the end', async () => numbersOf(seen).length === 5000 || undefined);
  t.strictSame(numbersOf(seen), from(0, 5000));
  slow.pause();
  emit(5000, 15_000);
  const ended = new Promise((resolve) => slow.once('close', resolve));
  slow.resume();
  await ended;
  const back = reading(await ask(lastIdOf(seen)));
  await until('it was told the rest', async () => numbersOf(back).at(-1) === 14_999 || undefined);
  const missed = Number(back[0]?.data.missed);
  t.ok(missed > 0);
  t.match(back[0], { event: 'hello', data: { resumed: false } });
  t.strictSame(
    [...numbersOf(seen), ...numbersOf(back)],
    [...from(0, 15_000 - numbersOf(back).length - missed), ...from(15_000 - numbersOf(back).length, 15_000)],
  );
});

t.test('an end is an end: nothing is sent behind it, and who never reads does not hold it up', async (t) => {
  const { streams, server, emit, ask, deaf } = await serveStreams(t);
  const sockets = [await deaf(), await deaf()];
  const reader = await ask();
  emit(0, 9000);
  const all = reader.toArray();
  streams.close();
  streams.sample(NO_SAMPLE);
  emit(9000, 9001);
  await all;
  await new Promise((resolve) => server.close(resolve));
  for (const socket of sockets) socket.destroy();
});

t.test('fifty readers are told the same, as many as there is room for', async (t) => {
  const { ask, answer, bearer, context } = await servePage(t);
  const streams = await Promise.all(from(0, 64).map(() => ask('/api/events', { headers: bearer })));
  const seen = streams.slice(0, 50).map(reading);
  for (let device = 0; device < 1000; device++)
    context.loops.events.emit('change', { device, kind: 'change', sequence: device, status: {} });
  await until('all came', async () => seen.every((one) => numbersOf(one).length === 1000) || undefined);
  for (const one of seen) t.strictSame(numbersOf(one), from(0, 1000));
  t.match(await answer('/api/events', { headers: bearer }), { status: 503, text: /too many pages are open/ });
  streams[63]?.destroy();
  await until('there is room again', async () => {
    const next = await ask('/api/events', { headers: bearer });
    next.destroy();
    return next.statusCode === 200 || undefined;
  });
  for (const stream of streams) stream.destroy();
});

t.test('a reader that is lost before anything happened goes on where it began', async (t) => {
  const { emit, ask } = await serveStreams(t);
  emit(0, 1000);
  const first = await ask();
  const before = reading(first);
  await until('it was told the latest', async () => numbersOf(before).length === 300 || undefined);
  const hello = before[0]?.id;
  first.destroy();
  emit(1000, 2000);
  const after = reading(await ask(hello));
  await until('the rest came', async () => numbersOf(after).at(-1) === 1999 || undefined);
  t.strictSame(numbersOf(after), from(700, 2000), 'the first that it was to be told, and all since');
  t.match(after[0], { data: { resumed: true, missed: 0 } });
});

t.test('programs that speak HTTP/1.0, and proxies that collect, get events as they come', async (t) => {
  const { bearer, origin, context } = await servePage(t);
  const { hostname, port } = new URL(origin);
  const socket = connect(Number(port), hostname).setEncoding('utf8');
  let text = '';
  socket.on('data', (chunk: string) => {
    text += chunk;
  });
  const ask = `GET /api/events HTTP/1.0\r\nHost: ${hostname}\r\nAuthorization: ${bearer.authorization}\r\n\r\n`;
  socket.write(ask);
  await until('it is greeted', async () => /event: sample/.test(text) || undefined);
  context.loops.events.emit('change', { device: 7, kind: 'change', sequence: 1, status: {} });
  await until('the event came', async () => /"device":7/.test(text) || undefined);
  const [head = '', body = ''] = text.split('\r\n\r\n');
  t.match(head, /^HTTP\/1\.1 200 OK/);
  t.match(head, /content-type: text\/event-stream/i);
  t.match(head, /x-accel-buffering: no/i);
  t.match(head, /cache-control: no-store, no-transform/i);
  t.match(head, /content-security-policy: default-src 'none'/i);
  t.match(head, /connection: close/i);
  t.notMatch(head, /transfer-encoding|content-encoding|content-length/i);
  t.match(body, /^retry: 1000\n\nid: \w+\.0\nevent: hello\ndata: /);
  socket.destroy();
});

t.test('no event is lost or told twice by a reader that comes back', async (t) => {
  const { ask, bearer, context } = await servePage(t);
  const emit = (device: number) =>
    context.loops.events.emit('change', { device, kind: 'change', sequence: device, status: {} });
  for (let device = 0; device < 3; device++) emit(device);
  const first = await ask('/api/events', { headers: bearer });
  const before = reading(first);
  await until('three events came', async () => numbersOf(before).length === 3 || undefined);
  t.match(before[0], { event: 'hello', data: { resumed: false, missed: 0, daemon: { pid: 42 } } });
  first.destroy();
  for (let device = 3; device < 2000; device++) emit(device);
  const headers = { ...bearer, 'last-event-id': lastIdOf(before) };
  const second = await ask('/api/events', { headers });
  const after = reading(second);
  await until('the rest came', async () => numbersOf(after).at(-1) === 1999 || undefined);
  t.match(after[0], { event: 'hello', data: { resumed: true, missed: 0 } });
  t.strictSame([...numbersOf(before), ...numbersOf(after)], from(0, 2000));
  t.ok(after.some(({ event }) => event === 'sample'));
  second.destroy();
  const third = await ask('/api/events', { headers: { ...bearer, 'last-event-id': '0123456789ab.7' } });
  const anew = reading(third);
  await until('all of this daemon came', async () => numbersOf(anew).length === 2000 || undefined);
  t.match(anew[0], { event: 'hello', data: { resumed: false, missed: null } }, 'the id is another daemon’s');
  third.destroy();
});
