/** What of a mirrored store tells the copier that the device is used. */
import t from 'tap';
import { MirrorShared, MirrorStore } from '../../../driver/store/mirror-store.js';
import type { Store } from '../../../driver/store/store.js';

const how = { punch: true, fast: false };

/** Does nothing, and has done it well. */
const idle = new Proxy({} as Store, { get: () => () => 0 });

const USES: Readonly<Record<string, (store: Store) => unknown>> = {
  read: (store) => store.read(0, 0, 4096),
  readNow: (store) => store.readNow(0, 0, 4096),
  batchRead: (store) => store.batchRead(0, 0, 4096),
  startRead: (store) => store.startRead(1, 0, 0, 4096),
  fillPipe: (store) => store.fillPipe(1, 0, 4096),
  write: (store) => store.write(0, 0, 4096),
  trim: (store) => store.trim(0, 4096),
  zero: (store) => store.zero(0, 4096, how),
};

t.test('whatever reads or writes is a use, and each is told once', async (t) => {
  const shared = new MirrorShared(MirrorShared.make(1 << 20));
  const store = new MirrorStore(idle, idle, shared);
  t.equal(shared.takeUse(), false, 'nobody did');
  for (const [name, use] of Object.entries(USES)) {
    use(store);
    t.equal(shared.takeUse(), true, name);
    t.equal(shared.takeUse(), false);
  }
});
