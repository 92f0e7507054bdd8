import type {
  InnerDescription,
  StoreDescription,
  WrapperDescription,
  WrapperDescriptions,
  WrapperKind,
} from './description.js';
import { FileStore, type ZeroedCount } from './file-store.js';
import { LoggedStore } from './logged-store.js';
import { MirrorShared, MirrorStore } from './mirror-store.js';
import { OverlayStore } from './overlay-store.js';
import type { Store } from './store.js';
import { NO_TOOLS, type ThreadTools } from './thread-tools.js';
import { VolatileStore } from './volatile/volatile-store.js';

/** What a store may use of the thread that opens it. */
export interface StoreContext {
  readonly tools: ThreadTools;
  readonly zeroed: ZeroedCount;
  /** The thread's number on every device. */
  readonly lane: number;
}

type OpenWrapper<D> = (inside: Store, description: D, context: StoreContext) => Store;

/** How a wrapper of each kind is opened on a thread, around the store that it asks. */
const WRAPPERS: { readonly [K in WrapperKind]: OpenWrapper<{ readonly kind: K } & WrapperDescriptions[K]> } =
  {
    // A request as a whole is what they are about: `driver/queue/watch.ts`.
    faults: (inside) => inside,
    limits: (inside) => inside,
    volatile: (inside, description) => new VolatileStore(inside, description),
    log: (inside, description) => new LoggedStore(inside, description),
  };

/** Opens a device's stores on a thread; the outermost is returned, and closes what is inside it. */
export function openStore({ inner, wrappers }: StoreDescription, context: StoreContext): Store {
  let store = openInner(inner, context);
  for (const wrapper of wrappers) store = openWrapper(store, wrapper, context);
  return store;
}

/** Opens an innermost store. */
export function openInner(description: InnerDescription, context: StoreContext): Store {
  const { tools, zeroed } = context;
  switch (description.kind) {
    case 'file':
      return new FileStore(description, tools, zeroed);
    case 'overlay':
      return new OverlayStore(description, tools, zeroed);
    case 'mirror': {
      const to = openInner(description.to, { ...context, tools: NO_TOOLS });
      return new MirrorStore(openInner(description.from, context), to, new MirrorShared(description.shared));
    }
  }
}

function openWrapper(inside: Store, description: WrapperDescription, context: StoreContext): Store {
  const open = WRAPPERS as Readonly<Record<string, OpenWrapper<WrapperDescription>>>;
  const { kind } = description as { readonly kind: string };
  const wrap = open[kind];
  if (wrap === undefined) throw new Error(`No store is of the kind ${kind}.`);
  return wrap(inside, description, context);
}
