import { randomUUID } from 'node:crypto';
import { LoopError } from '../errno.js';
import { requireMemory } from '../group-limits.js';
import { describeIdentity, sameFile } from '../io/file-identity.js';
import type { WrapperDescription } from '../store/description.js';
import { changedLimits } from '../store/limits/check-limits.js';
import { NO_LIMITS } from '../store/limits/limits.js';
import { arranged } from './arrange.js';
import type { Backing } from './backing.js';
import { closeWrappers, newLog, newVolatile } from './bench.js';
import type { Binding } from './binding.js';
import { startDirectIo } from './direct-io.js';
import { checkedText, NO_TEXT } from './export-names.js';
import { faultsOf } from './faults.js';
import { describedLimits } from './limits.js';
import type { LoopCore } from './loop-core.js';
import { rawDeltaNotes } from './overlay/raw-delta.js';
import { checkedConfig, loopSize, referenceOf, SECTOR } from './parameters.js';
import type { LoopConfig } from './types.js';
import { needsValidateMutex, openBacking, validateFile } from './validate-file.js';

/** What a device may take, bytes: with a map of an overlay it is the most. */
const DEVICE_BYTES = 1 << 20;

/** What a binding keeps that a daemon before this one made. */
export interface Restored {
  readonly id: Binding['id'];
  /** Bytes: whoever uses the device counts on its size. */
  readonly size: number;
  /** What could not be brought to its end of a swap of files. */
  readonly alsoAt?: Binding['alsoAt'];
  readonly superseded?: Binding['superseded'];
}

/** LOOP_CONFIGURE. Throws, in order, ENOMEM (of the control group), EBADF, EBUSY, EBADF or EINVAL (file), EINVAL, EOVERFLOW. */
export async function loopConfigure(core: LoopCore, config: LoopConfig): Promise<void> {
  requireMemory(DEVICE_BYTES, `${core.name} with a file`);
  const file = await openBacking(core.host, config, core);
  try {
    await configureWith(core, file, config);
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Binds an open file, which is the device's from then on; on a throw it stays the caller's. */
export function configureWith(
  core: LoopCore,
  file: Backing,
  config: LoopConfig,
  restored?: Restored,
): Promise<void> {
  const bind = async (): Promise<'bind'> => {
    const settle = core.transitions.begin();
    try {
      await bindUnder(core, file, config, restored);
      return 'bind';
    } finally {
      settle();
    }
  };
  return needsValidateMutex(core, file) ? core.globallyExclusive(bind) : core.exclusive(bind);
}

/** Caller holds loMutex. */
async function bindUnder(
  core: LoopCore,
  file: Backing,
  config: LoopConfig,
  restored: Restored | undefined,
): Promise<void> {
  if (core.state !== 'unbound') {
    const held = core.binding?.file.path;
    const reason = held === undefined ? `it is ${core.state}` : `it has the backing file ${held}`;
    throw new LoopError('EBUSY', `${core.name} can't take ${config.file}: ${reason}.`);
  }
  validateFile(core, file);
  const wanted = checkedConfig(core.name, config, file.dioAlignment);
  const text = checkedText(core.name, config, NO_TEXT);
  const kept = keptId(core, file);
  const ofDeltas = await rawDeltaNotes(file);
  const direct = await startDirectIo(file, wanted);
  let binding: Binding = {
    ...wanted,
    ...text,
    id: restored?.id ?? kept ?? config.id ?? randomUUID(),
    readOnly: wanted.readOnly || !file.writable,
    reference: referenceOf(core.name, config.reference, file.path),
    file,
    wrappers: [],
    isFenced: config.fenced ?? false,
    size: restored?.size ?? loopSize(await file.size(), wanted),
    alsoAt: restored?.alsoAt,
    superseded: restored?.superseded,
    ...direct,
    notes: [...sectorNotes(config, wanted), ...direct.notes, ...ofDeltas],
  };
  binding = { ...binding, wrappers: await wrappersOf(core, config, binding) };
  await core.replace(binding, async () => {
    // Sessions may have the unbound device open: their requests see all of the binding or nothing of it.
    await using frozen = await core.queue.freeze();
    core.publish(frozen, binding);
    // What was changed under the daemon before this one is not known any more.
    if (restored !== undefined) core.dirty.fill(binding.size);
    core.enterState('bound');
  });
}

/** What is to stand between the gate and the file from the beginning. Throws EINVAL. */
async function wrappersOf(
  core: LoopCore,
  { faults = [], limits = {}, volatileCache, logWrites }: LoopConfig,
  binding: Binding,
): Promise<WrapperDescription[]> {
  const limited = arranged([], 'limits', describedLimits(changedLimits(NO_LIMITS, limits)));
  const faulty = arranged(limited, 'faults', faultsOf(core).described(faults));
  if (volatileCache !== true && logWrites === undefined) return faulty;
  if (binding.readOnly) {
    throw new LoopError('EPERM', `${core.name} is read-only: it has no writes to cache or to log.`);
  }
  const cache = volatileCache === true ? await newVolatile(binding) : undefined;
  const cached = arranged(faulty, 'volatile', cache);
  if (logWrites === undefined) return cached;
  try {
    return arranged(cached, 'log', await newLog(logWrites, binding.offset));
  } catch (error) {
    await closeWrappers(cached);
    throw error;
  }
}

/**
 * The id that the kernel's device was attached under, where it outlived its binding: the same file may come back. Throws
 * EBUSY for another one, which whoever has the device mounted would write to.
 */
function keptId(core: LoopCore, file: Backing): string | undefined {
  const kept = core.host.ledger()?.kept(core.number);
  if (kept === undefined || sameFile(kept.identity, file.identity)) return kept?.id;
  throw new LoopError(
    'EBUSY',
    `${core.name} can't take ${file.path}: the kernel still has the device with ${describeIdentity(kept.identity)}; detach it first.`,
  );
}

/** Nobody chose a sector size, and direct I/O has chosen a larger one than is usual. */
function sectorNotes(config: LoopConfig, { blockSize }: Pick<Binding, 'blockSize'>): string[] {
  if (config.blockSize !== undefined || blockSize === SECTOR) return [];
  return [`direct I/O needs sectors of ${blockSize} bytes here, so that it has them in place of ${SECTOR}`];
}
