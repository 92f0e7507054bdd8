import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { EventStreams } from '../../../driver/control/event-stream.js';
import { until } from '../../helpers/until.js';
import { fakeContext } from './fake-loops.js';

t.test('who never reads the events holds no end up, and what happens after it harms nobody', async (t) => {
  const { loops, remotes } = fakeContext();
  const streams = new EventStreams(loops, remotes);
  const readers: ServerResponse[] = [];
  const server = createServer((_request, response) => {
    readers.push(response);
    streams.add(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').pause();
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  const reader = await until('it is there', async () => readers[0]);
  const status = { name: 'x'.repeat(1024) };
  const emit = (sequence: number) =>
    loops.events.emit('change', { device: 0, kind: 'change', sequence, status });
  // Less than what it is dropped for, more than what a socket takes that nobody reads from.
  for (let sequence = 0; reader.writableLength < 256 * 1024; sequence++) {
    emit(sequence);
    await turn();
  }
  streams.close();
  emit(0);
  await new Promise((resolve) => server.close(resolve));
  socket.destroy();
  t.pass('the server has closed');
});
