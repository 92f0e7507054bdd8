import type { WholeOperationName, WholeRequest, ZeroMode } from '../backend.js';
import type { Memory } from '../system/buffers.js';
import { Cmd, CmdFlag } from '../wire/constants.js';
import type { Request } from '../wire/request.js';
import { Operation } from './operation.js';

const NO_BYTES = new Uint8Array(0);
/** What was never started has no token. */
const NO_TOKEN = -1;

const NAMES: Readonly<Record<number, WholeOperationName>> = {
  [Cmd.READ]: 'read',
  [Cmd.WRITE]: 'write',
  [Cmd.FLUSH]: 'flush',
  [Cmd.TRIM]: 'trim',
  [Cmd.WRITE_ZEROES]: 'zero',
};

/** The name of a command that is handed over whole; undefined for others. */
export const wholeName = (type: number): WholeOperationName | undefined => NAMES[type];

/** A request that is handed over whole. It is made for one request: a device that wants it so is not in a hurry. */
export class WholeOperation extends Operation implements WholeRequest {
  readonly operation: WholeOperationName;
  readonly how: ZeroMode;
  due = 0;
  progress = 0;
  decision: object | undefined;

  constructor(request: Request, operation: WholeOperationName, memory: Memory | undefined) {
    super(NO_TOKEN);
    this.keep(request);
    const has = (flag: number): boolean => (request.flags & flag) !== 0;
    this.operation = operation;
    this.isRead = operation === 'read';
    this.fua = has(CmdFlag.FUA);
    this.how = { punch: !has(CmdFlag.NO_HOLE), fast: has(CmdFlag.FAST_ZERO) };
    this.memory = memory;
    this.since = performance.now();
  }

  get address(): number {
    return this.memory?.address ?? 0;
  }

  get bytes(): Uint8Array {
    return this.memory?.bytes.subarray(0, this.length) ?? NO_BYTES;
  }
}
