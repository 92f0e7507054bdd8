import { closeSync, fstatSync, openSync } from 'node:fs';
import t from 'tap';
import type { OpenedExport } from '../../../server/export.js';
import { Peers } from '../../../server/peers.js';
import type { Adopted } from '../../../server/reactor/reactor-pool.js';
import { Sessions } from '../../../server/sessions.js';
import { until } from '../../helpers/until.js';

const MIB = 1 << 20;
const silent = { debug() {}, info() {}, warn() {}, error() {} };

const opened = (release: () => Promise<void>): OpenedExport => ({
  info: {
    ...{ name: 'db', description: '', size: MIB, readOnly: false, fastZero: true },
    blockSizes: { minimum: 1, preferred: 4096, maximum: 32 * MIB },
  },
  ...{ device: 3, shared: new SharedArrayBuffer(8), release },
  domain: () => '',
  names: () => ['db'],
});

const isOpen = (fd: number): boolean => {
  try {
    fstatSync(fd);
    return true;
  } catch {
    return false;
  }
};

/** Sessions over descriptors of /dev/null, which are given up when the test says so, and the peers that have them. */
function scene() {
  const peers = new Peers({ maxConnections: 100, maxConnectionsPerPeer: 100, allow: [] });
  const partings = new Map<number, (leftover: Uint8Array | undefined) => void>();
  let released = 0;
  let lastId = 0;
  const sessions = new Sessions({
    reactors: {
      adopt: () => ++lastId,
      part: (id) => new Promise((resolve) => partings.set(id, resolve)),
      drop: () => {},
    },
    log: silent,
    keyOf: () => undefined,
  });
  const serve = (over: Partial<Adopted> = {}): number => {
    const peer = peers.enterFrom({ address: '10.0.0.1', port: 7000 + lastId }, 5);
    if ('refused' in peer) throw new Error(peer.refused);
    const fd = openSync('/dev/null', 'r');
    const terms = {
      mode: 'structured',
      contexts: [{ id: 1, name: 'x' }],
      minimumBlock: 512,
      readOnly: true,
    } as const;
    const adopted = {
      ...terms,
      fd,
      opened: opened(async () => void released++),
      leftover: Buffer.from('old'),
    };
    sessions.serve(peer, { ...adopted, ...over }, over.tls === undefined ? undefined : {});
    return fd;
  };
  return { peers, sessions, partings, serve, released: () => released };
}

t.test('what goes over is all that makes a session, as JSON tells it', async (t) => {
  const { peers, sessions, partings, serve, released } = scene();
  const fd = serve();
  serve({ tls: 4711 });
  t.match(peers.list(), [{ peer: '10.0.0.1:7000', export: 'db', since: 5 }, { peer: '10.0.0.1:7001' }]);
  const parting = sessions.part(500);
  partings.get(1)?.(Buffer.from('rest'));
  const parted = await parting;
  t.equal(partings.size, 1, 'TLS stays');
  t.strictSame(JSON.parse(JSON.stringify(parted.map(({ leftover: _, ...rest }) => rest))), [
    {
      ...{ fd, device: 3, origin: { address: '10.0.0.1', port: 7000 }, since: 5 },
      terms: { mode: 'structured', contexts: [{ id: 1, name: 'x' }], minimumBlock: 512, readOnly: true },
    },
  ]);
  t.equal(Buffer.from(parted[0]?.leftover ?? []).toString(), 'rest');
  t.equal(peers.list().length, 1, 'it is counted out');
  t.equal(released(), 0, 'its export stays open: no last close comes of a change of daemons');
  closeSync(fd);
});

t.test('one that ends meanwhile, one that is late, and more than may be written down', async (t) => {
  const { peers, sessions, partings, serve } = scene();
  const fds = [serve(), serve(), serve(), serve()];
  const parting = sessions.part(300);
  partings.get(1)?.(undefined);
  partings.get(2)?.(new Uint8Array(3 * MIB));
  partings.get(3)?.(new Uint8Array(2 * MIB));
  const parted = await parting;
  t.strictSame(
    parted.map(({ fd }) => fd),
    [fds[1]],
  );
  t.ok(isOpen(fds[1] ?? -1));
  t.notOk(isOpen(fds[2] ?? -1), 'cut off: what clients have sent ahead is bounded');
  t.ok(isOpen(fds[3] ?? -1), 'it is still at work');
  partings.get(4)?.(new Uint8Array(0));
  await until('the late one is closed', async () => (isOpen(fds[3] ?? -1) ? undefined : true));
  t.equal(peers.list().length, 1, 'the one that ended is for its own end to count out');
  for (const fd of fds.slice(0, 2)) closeSync(fd ?? -1);
});
