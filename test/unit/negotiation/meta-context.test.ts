import t from 'tap';
import { Opt, Rep } from '../../../server/wire/constants.js';
import {
  contextData,
  type HandshakeClient,
  handshake,
  infoData,
  option,
  text,
  u32,
} from '../../helpers/handshake.js';

const { LIST_META_CONTEXT, SET_META_CONTEXT } = Opt;

/** The names in a successful reply. */
const names = async (client: HandshakeClient, number: number, data: Buffer): Promise<string[]> => {
  const replies = await client.ask(number, data);
  if (replies.at(-1)?.type !== Rep.ACK) throw new Error(`refused: ${replies.at(-1)?.data}`);
  return replies.slice(0, -1).map(({ data }) => data.subarray(4).toString());
};

t.test('without structured replies both options are ERR_INVALID', async (t) => {
  const { client } = handshake(t);
  await client.greet();
  for (const number of [LIST_META_CONTEXT, SET_META_CONTEXT]) {
    t.equal(await client.askOne(number, contextData('loop0', ['base:allocation'])), Rep.ERR_INVALID);
  }
});

t.test(
  'a listing: no query is everything, a namespace is a wildcard, unknown ones match nothing',
  async (t) => {
    const cases: [string[], string[]][] = [
      [[], ['base:allocation', 'nbdloop:dirty']],
      [['base:'], ['base:allocation']],
      [['nbdloop:'], ['nbdloop:dirty']],
      [
        ['nbdloop:dirty', 'base:'],
        ['base:allocation', 'nbdloop:dirty'],
      ],
      [['base:allocation', 'base:allocation', 'base:'], ['base:allocation']],
      [['base:alloc'], []],
      [['base:allocation:'], []],
      [['qemu:dirty-bitmap:x', 'x-other:'], []],
      [['b:'], []],
    ];
    const { client } = handshake(t);
    await client.greet();
    await client.ask(Opt.STRUCTURED_REPLY);
    for (const [queries, expected] of cases) {
      t.same(
        await names(client, LIST_META_CONTEXT, contextData('loop0', queries)),
        expected,
        queries.join() || 'no query',
      );
    }
    const [reply] = await client.ask(LIST_META_CONTEXT, contextData('loop0', []));
    t.equal(reply?.data.readUInt32BE(0), 0, 'the id in a listing is 0');
  },
);

t.test('a selection: exact names only, each with its own id', async (t) => {
  const cases: [string[], string[]][] = [
    [[], []],
    [['base:'], []],
    [['base:unknown', 'x-other:y'], []],
    [['base:allocation'], ['base:allocation']],
    [
      ['nbdloop:dirty', 'base:allocation', 'nbdloop:dirty'],
      ['base:allocation', 'nbdloop:dirty'],
    ],
  ];
  for (const [queries, expected] of cases) {
    const { client, outcome } = handshake(t);
    await client.greet();
    await client.ask(Opt.STRUCTURED_REPLY);
    const replies = await client.ask(SET_META_CONTEXT, contextData('loop1', queries));
    const selected = replies.slice(0, -1).map(({ data }) => ({
      id: data.readUInt32BE(0),
      name: data.subarray(4).toString(),
    }));
    t.same(
      selected.map(({ name }) => name),
      expected,
    );
    t.equal(new Set(selected.map(({ id }) => id)).size, selected.length);
    await client.ask(Opt.GO, infoData('loop1'));
    t.match(await outcome, { contexts: selected });
    const ending = await outcome;
    t.equal(ending.kind === 'transmission' && ending.contexts.length, selected.length);
  }
});

t.test('extended headers are as good as structured replies', async (t) => {
  const { client } = handshake(t);
  await client.greet();
  await client.ask(Opt.EXTENDED_HEADERS);
  t.same(await names(client, SET_META_CONTEXT, contextData('', ['base:allocation'])), ['base:allocation']);
});

t.test('a selection holds for the export it named, until the next one, also if that fails', async (t) => {
  const base = contextData('loop0', ['base:allocation']);
  const cases = [
    { next: [], go: 'loop0', count: 1 },
    { next: [], go: 'loop1', count: 0 },
    { next: [option(Opt.INFO, infoData('loop1'))], go: 'loop0', count: 1 },
    { next: [option(Opt.LIST_META_CONTEXT, contextData('loop0', []))], go: 'loop0', count: 1 },
    { next: [option(SET_META_CONTEXT, contextData('loop0', []))], go: 'loop0', count: 0 },
    { next: [option(SET_META_CONTEXT, contextData('nope', ['base:allocation']))], go: 'loop0', count: 0 },
    { next: [option(SET_META_CONTEXT, Buffer.from('junk'))], go: 'loop0', count: 0 },
    { next: [option(SET_META_CONTEXT, Buffer.alloc(65_537))], go: 'loop0', count: 0 },
  ];
  for (const { next, go, count } of cases) {
    const { client, outcome } = handshake(t);
    await client.greet();
    await client.ask(Opt.STRUCTURED_REPLY);
    await client.ask(SET_META_CONTEXT, base);
    client.send(...next, option(Opt.GO, infoData(go)));
    const ending = await outcome;
    t.equal(ending.kind === 'transmission' && ending.contexts.length, count);
  }
});

t.test('an unknown export is ERR_UNKNOWN', async (t) => {
  const { client } = handshake(t);
  await client.greet();
  await client.ask(Opt.STRUCTURED_REPLY);
  for (const number of [LIST_META_CONTEXT, SET_META_CONTEXT]) {
    t.equal(await client.askOne(number, contextData('nope', ['base:allocation'])), Rep.ERR_UNKNOWN);
  }
});

t.test('malformed data, and queries without a namespace, are ERR_INVALID', async (t) => {
  const good = contextData('loop0', ['base:allocation', 'base:']);
  const bad = [
    Buffer.alloc(0),
    good.subarray(0, -1),
    Buffer.concat([good, Buffer.alloc(1)]),
    Buffer.concat([text('loop0'), u32(0xffffffff)]),
    contextData('loop0', ['allocation']),
    contextData('loop0', [':allocation']),
    contextData('loop0', ['']),
    contextData('loop0', [`base:${'x'.repeat(4096)}`]),
  ];
  const { client } = handshake(t);
  await client.greet();
  await client.ask(Opt.STRUCTURED_REPLY);
  for (const [index, data] of bad.entries()) {
    for (const number of [LIST_META_CONTEXT, SET_META_CONTEXT]) {
      t.equal(await client.askOne(number, data), Rep.ERR_INVALID, `case ${index}`);
    }
  }
});
