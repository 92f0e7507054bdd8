/** How a whole request of a watched device is carried out, as it was decided. */
import { constants } from 'node:os';
import type { CarriedOut, Errno, WholeRequest } from '../../server/backend.js';
import { flip, misdirected, tornLength } from '../store/faults/effect.js';
import type { LiveRule } from '../store/faults/rule.js';
import type { Store } from '../store/store.js';
import type { DirtyMap } from './dirty-map.js';
import type { LaneCounters } from './lane-counters.js';
import { LaneNum } from './slots.js';
import { decisionOf } from './watch.js';

const { EAGAIN } = constants.errno;

/** Bytes of a TRIM or WRITE_ZEROES that are done at a time: others have their turn in between. */
const PIECE = 4 << 20;
const NO_TOKEN = -1;

/** The device as it is while the request is counted in. */
export interface CarriedOutOn {
  readonly store: Store;
  readonly counters: LaneCounters;
  readonly dirty: DirtyMap;
  /** Where the device starts in the store, and its size; bytes. */
  readonly start: number;
  readonly size: number;
}

export function carryOut(device: CarriedOutOn, request: WholeRequest, token: number): Result {
  const decision = decisionOf(request);
  const rule = decision?.outcome;
  const index = decision?.met?.index ?? 0;
  if (rule?.kind === 'errno') return device.counters.failed(rule.number);
  switch (request.operation) {
    case 'read':
      return read(device, request, token, { rule, index });
    case 'write':
      return write(device, request, token, { rule, index });
    case 'flush':
      device.counters.add(LaneNum.FLUSHES, 1);
      return rule?.kind === 'lost' ? 0 : makeDurable(device, token);
    case 'trim':
    case 'zero':
      return change(device, request, token, { rule, index });
  }
}

type Result = Errno | CarriedOut;

interface Fault {
  readonly rule: LiveRule | undefined;
  readonly index: number;
}

/** Where on the device a request really goes. */
const placeOf = ({ offset, length }: WholeRequest, { rule, index }: Fault, size: number): number =>
  rule?.kind === 'misdirected' ? misdirected(rule, index, { offset, length }, size) : offset;

function read(device: CarriedOutOn, request: WholeRequest, token: number, fault: Fault): Result {
  const { store, counters, start, size } = device;
  const { address, length, offset } = request;
  const position = start + placeOf(request, fault, size);
  const flips = fault.rule?.kind === 'flipped' ? fault.rule : undefined;
  const mayStart = token !== NO_TOKEN && flips === undefined;
  let errno: Errno = EAGAIN;
  if (!mayStart) errno = store.read(address, position, length);
  else if (!store.isDeferred()) errno = store.readNow(address, position, length);
  if (errno === EAGAIN) {
    if (mayStart && store.startRead(token, address, position, length)) {
      counters.read(length);
      return 'started';
    }
    errno = store.read(address, position, length);
  }
  if (errno === 0 && flips !== undefined) flip(flips, fault.index, request.bytes, offset);
  counters.read(errno === 0 ? length : 0);
  return counters.failed(errno);
}

function write(device: CarriedOutOn, request: WholeRequest, token: number, fault: Fault): Result {
  const { store, counters, dirty, start, size } = device;
  const { address, offset } = request;
  const { rule, index } = fault;
  if (rule?.kind === 'lost') {
    counters.write(request.length);
    return 0;
  }
  if (rule?.kind === 'flipped') flip(rule, index, request.bytes, offset);
  const length = rule?.kind === 'torn' ? tornLength(rule, index, request.length) : request.length;
  const place = placeOf(request, fault, size);
  const fua = request.fua;
  if (length > 0) dirty.mark(place, length);
  if (token !== NO_TOKEN && length > 0 && store.isDeferred()) {
    if (store.startWrite(token, address, start + place, length)) {
      counters.write(length);
      return fua ? 'started, to flush' : 'started';
    }
  }
  let errno: Errno = 0;
  if (length > 0) {
    if (fua && store.writeThrough !== undefined) errno = store.writeThrough(address, start + place, length);
    else errno = store.write(address, start + place, length);
  }
  counters.write(errno === 0 ? length : 0);
  if (errno !== 0 || !fua || store.writeThrough !== undefined) return counters.failed(errno);
  return makeDurable(device, token);
}

function makeDurable({ store, counters }: CarriedOutOn, token: number): Result {
  if (token !== NO_TOKEN && store.startFlush(token)) return 'started';
  return counters.failed(store.flush());
}

/** A piece of a TRIM or WRITE_ZEROES. */
function change(device: CarriedOutOn, request: WholeRequest, token: number, { rule, index }: Fault): Result {
  const { store, counters, dirty, start } = device;
  const isTrim = request.operation === 'trim';
  if (request.progress === 0) counters.add(isTrim ? LaneNum.TRIMS : LaneNum.WRITE_ZEROES, 1);
  if (rule?.kind === 'lost') return 0;
  const whole = rule?.kind === 'torn' ? tornLength(rule, index, request.length) : request.length;
  const piece = Math.min(PIECE, whole - request.progress);
  if (piece > 0) {
    const offset = request.offset + request.progress;
    dirty.mark(offset, piece);
    const errno = isTrim ? store.trim(start + offset, piece) : store.zero(start + offset, piece, request.how);
    if (errno !== 0) return counters.failed(errno);
    request.progress += piece;
    if (request.progress < whole) return 'again';
  }
  return request.fua ? makeDurable(device, token) : 0;
}
