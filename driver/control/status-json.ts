/** A device's state as it travels: what JSON numbers can't hold goes as digits. */

import { type ExactNumber, toExactNumber } from '../exact-number.js';
import type { LoopStatusFields } from './context.js';
import type { DeviceEvent } from './messages.js';

export const statusJson = (status: LoopStatusFields): DeviceEvent['status'] => ({
  ...status,
  offset: digitsOf(status.offset),
  sizeLimit: digitsOf(status.sizeLimit),
  backingInode: status.backingInode === null ? null : toExactNumber(status.backingInode),
  backingDevice: status.backingDevice === null ? null : toExactNumber(status.backingDevice),
});

const digitsOf = (bytes: number | bigint): ExactNumber =>
  typeof bytes === 'bigint' ? toExactNumber(bytes) : bytes;
