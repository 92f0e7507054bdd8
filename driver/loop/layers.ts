import type { Backing, Layer } from './backing.js';

/** The only layer of a device that is no overlay. */
export const plainLayer = ({ path, identity }: Backing, size: number): Layer => ({
  ...{ kind: 'base', path, identity, size },
  ...{ uuid: null, blockSize: null, heldBlocks: null },
});
