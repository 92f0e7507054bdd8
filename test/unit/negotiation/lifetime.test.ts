/** Who owns an export at every point where a connection can end. */

import t from 'tap';
import { Opt } from '../../../server/wire/constants.js';
import { handshake, infoData, option } from '../../helpers/handshake.js';

/** Resolves `settled` of an export when called. */
const gate = (): { readonly settled: Promise<void>; readonly open: () => void } => {
  let open = (): void => {};
  const settled = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { settled, open };
};

const ENTRANCES = {
  GO: option(Opt.GO, infoData('loop0')),
  EXPORT_NAME: option(Opt.EXPORT_NAME, Buffer.from('loop0')),
};

for (const [name, bytes] of Object.entries(ENTRANCES)) {
  t.test(`${name}: a client that is gone when the open settles has it released once`, async (t) => {
    const { client, server, outcome, exports } = handshake(t);
    const { settled, open } = gate();
    exports[0].settled = settled;
    await client.greet();
    client.send(bytes);
    await new Promise(setImmediate);
    server.destroy();
    await new Promise(setImmediate);
    open();
    t.equal((await outcome).kind, 'closed');
    t.equal(exports[0].opened, 1);
    t.equal(exports[0].released, 1);
  });

  t.test(`${name}: a deadline that passes while the open waits has it released once`, async (t) => {
    const { client, outcome, exports, controller } = handshake(t);
    const { settled, open } = gate();
    exports[0].settled = settled;
    await client.greet();
    client.send(bytes);
    await new Promise(setImmediate);
    controller.abort('the handshake took too long');
    open();
    t.same(await outcome, { kind: 'closed', reason: 'the handshake took too long' });
    t.equal(exports[0].opened, 1);
    t.equal(exports[0].released, 1);
  });

  t.test(`${name}: a reply that cannot leave has the export released once`, async (t) => {
    const { client, server, outcome, exports } = handshake(t);
    await client.greet();
    server.write = ((_bytes: Buffer, done: (error: Error) => void) => {
      process.nextTick(done, new Error('EPIPE'));
      return false;
    }) as typeof server.write;
    client.send(bytes);
    t.equal((await outcome).kind, 'closed');
    t.equal(exports[0].opened, 1);
    t.equal(exports[0].released, 1);
  });

  t.test(`${name}: a client that only ended its side still gets in`, async (t) => {
    const { client, outcome, exports } = handshake(t);
    await client.greet();
    client.send(bytes);
    client.stream.end();
    t.equal((await outcome).kind, 'transmission');
    t.equal(exports[0].released, 0);
  });
}

t.test('the deadline ends a handshake that waits for anything', async (t) => {
  const points = {
    'client flags': [],
    'an option': [Buffer.from([0, 0, 0, 3])],
    'the rest of a header': [Buffer.from([0, 0, 0, 3]), Buffer.from('IHAVE')],
    'the data of an option': [Buffer.from([0, 0, 0, 3]), option(Opt.GO, Buffer.from('x'), 100)],
    'data to skip': [Buffer.from([0, 0, 0, 3]), option(4711, Buffer.from('x'), 100)],
  };
  for (const [title, bytes] of Object.entries(points)) {
    const { client, outcome, controller } = handshake(t);
    await client.read(18);
    client.send(...bytes);
    await new Promise(setImmediate);
    controller.abort('the handshake took too long');
    t.same(await outcome, { kind: 'closed', reason: 'the handshake took too long' }, title);
  }
});

t.test('the stream is given back without a listener of the handshake', async (t) => {
  const { client, server, outcome, controller } = handshake(t);
  await client.greet();
  client.send(ENTRANCES.GO);
  t.equal((await outcome).kind, 'transmission');
  t.equal(server.listenerCount('readable'), 0);
  t.equal(server.listenerCount('end'), server.listeners('end').length);
  t.equal(server.listenerCount('error'), 1, 'the one of this test');
  client.send(Buffer.from('request'));
  await new Promise(setImmediate);
  t.equal(server.read()?.toString(), 'request', 'the next bytes are the next reader’s');
  controller.abort();
});
