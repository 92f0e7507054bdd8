/** A device's state as it travels: what JSON numbers can't hold goes as digits. */

import { toExactNumber } from '../exact-number.js';
import type { LoopStatusFields } from './context.js';
import type { DeviceEvent } from './messages.js';

export const statusJson = (status: LoopStatusFields): DeviceEvent['status'] => ({
  ...status,
  offset: toExactNumber(BigInt(status.offset)),
  sizeLimit: toExactNumber(BigInt(status.sizeLimit)),
  backingInode: status.backingInode === null ? null : toExactNumber(status.backingInode),
  backingDevice: status.backingDevice === null ? null : toExactNumber(status.backingDevice),
});
