import { LoopError } from '../errno.js';
import type { BackingFile } from '../io/backing-file.js';
import { startDirectIo } from './direct-io.js';
import type { Binding, LoopCore } from './loop-core.js';
import { checkedConfig, loopSize, referenceOf, SECTOR } from './parameters.js';
import type { LoopConfig } from './types.js';
import { needsValidateMutex, openBacking, validateFile } from './validate-file.js';

/** LOOP_CONFIGURE. Throws, in order, EBADF, EBUSY, EBADF or EINVAL (file), EINVAL, EOVERFLOW. */
export async function loopConfigure(core: LoopCore, config: LoopConfig): Promise<void> {
  const file = await openBacking(core.host, config, core);
  try {
    await configureWith(core, file, config);
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Binds an open file, which is the device's from then on; on a throw it stays the caller's. */
export function configureWith(core: LoopCore, file: BackingFile, config: LoopConfig): Promise<void> {
  const bind = async (): Promise<'bind'> => {
    const settle = core.transitions.begin();
    try {
      await bindUnder(core, file, config);
      return 'bind';
    } finally {
      settle();
    }
  };
  return needsValidateMutex(core, file) ? core.globallyExclusive(bind) : core.exclusive(bind);
}

/** Caller holds loMutex. */
async function bindUnder(core: LoopCore, file: BackingFile, config: LoopConfig): Promise<void> {
  if (core.state !== 'unbound') {
    const held = core.binding?.file.path;
    const reason = held === undefined ? `it is ${core.state}` : `it has the backing file ${held}`;
    throw new LoopError('EBUSY', `${core.name} can't take ${config.file}: ${reason}.`);
  }
  validateFile(core, file);
  const wanted = checkedConfig(core.name, config, file.dioAlignment);
  const direct = await startDirectIo(file, wanted);
  const binding: Binding = {
    ...wanted,
    id: Symbol(file.path),
    readOnly: wanted.readOnly || !file.writable,
    reference: referenceOf(core.name, config.reference, file.path),
    file,
    size: loopSize(await file.size(), wanted),
    ...direct,
    notes: [...sectorNotes(config, wanted), ...direct.notes],
  };
  // Sessions may have the unbound device open: their requests see all of the binding or nothing of it.
  await using frozen = await core.queue.freeze();
  core.publish(frozen, binding);
  core.enterState('bound');
}

/** Nobody chose a sector size, and direct I/O has chosen a larger one than is usual. */
function sectorNotes(config: LoopConfig, { blockSize }: Pick<Binding, 'blockSize'>): string[] {
  if (config.blockSize !== undefined || blockSize === SECTOR) return [];
  return [`direct I/O needs sectors of ${blockSize} bytes here, so that it has them in place of ${SECTOR}`];
}
