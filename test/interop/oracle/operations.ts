/** Random operations on both sides, and how each is run. */
import { truncateSync } from 'node:fs';
import type { Random } from '../../helpers/random.js';
import { type OracleFile, type OracleSide, type OracleView, pathOf, type Transfer } from './side.js';

export const DEVICES = 2;
export const FILES = 4;
const MAX_SESSIONS = 3;
const MIB = 1 << 20;
/** Sizes that files are given, bytes: equal ones, so that change_fd finds a match, and odd ones. */
export const FILE_SIZES = [MIB, MIB, 65_536, MIB + 4096, 100_000, 512, 511, 0] as const;
const OFFSETS = [
  0n,
  0n,
  0n,
  512n,
  4096n,
  8192n,
  100n,
  65_536n,
  2n * BigInt(MIB),
  2n ** 63n - 1n,
  2n ** 63n,
] as const;
const LIMITS = [0n, 0n, 0n, 512n, 1000n, 8192n, 2n * BigInt(MIB), 2n ** 63n - 1n, 2n ** 64n - 1n] as const;
/** Not above a page, which newer kernels take: docs/semantics.md. */
const BLOCK_SIZES = [0, 0, 512, 1024, 4096, 4096, 256, 1000, 3072] as const;
const NO_BACKING_FILES = ['directory', 'fifo', 'null', 'missing'] as const;

/** An operation by name and arguments: what a failure prints. */
export interface Operation {
  readonly name: string;
  readonly device: number;
  readonly arguments: readonly unknown[];
  run(side: OracleSide): Promise<string | number | Transfer>;
}

/** What the generator knows of a device: its view, and the test's own sessions. */
export interface Known {
  readonly view: OracleView;
  readonly sessions: number;
}

type Maker = (random: Random, device: number, known: Known) => Operation | undefined;

const operation = (
  name: string,
  device: number,
  args: readonly unknown[],
  run: Operation['run'],
): Operation => ({ name, device, arguments: args, run });

const anyFile = (random: Random): OracleFile =>
  random.chance(0.08) ? random.pick(NO_BACKING_FILES) : random.below(FILES);

const add: Maker = (_random, device) => operation('ctl_add', device, [], (side) => side.add(device));

const remove: Maker = (random, device) => {
  const victim = random.chance(0.1) ? -1 : device;
  return operation('ctl_remove', victim, [], (side) => side.remove(victim));
};

const configure: Maker = (random, device) => {
  const config = {
    file: anyFile(random),
    offset: random.pick(OFFSETS),
    sizeLimit: random.pick(LIMITS),
    blockSize: random.pick(BLOCK_SIZES),
    readOnly: random.chance(0.3),
    autoclear: random.chance(0.2),
    partscan: random.chance(0.2),
    directIo: random.chance(0.3),
  };
  return operation('configure', device, [config], (side) => side.configure(device, config));
};

const changeFd: Maker = (random, device) => {
  const file = anyFile(random);
  return operation('change_fd', device, [file], (side) => side.changeFd(device, file));
};

const clear: Maker = (_random, device) => operation('clr_fd', device, [], (side) => side.clear(device));

const setStatus: Maker = (random, device, { view }) => {
  const keep = random.chance(0.4) && view.bound !== null;
  const settings = {
    offset: keep ? (view.bound?.offset ?? 0n) : random.pick(OFFSETS),
    sizeLimit: keep ? (view.bound?.sizeLimit ?? 0n) : random.pick(LIMITS),
    autoclear: random.chance(0.3),
    partscan: random.chance(0.3),
  };
  return operation('set_status', device, [settings], (side) => side.setStatus(device, settings));
};

const getStatus: Maker = (_random, device) =>
  operation('get_status', device, [], (side) => side.getStatus(device));

const setCapacity: Maker = (_random, device) =>
  operation('set_capacity', device, [], (side) => side.setCapacity(device));

const setDirectIo: Maker = (random, device) => {
  const on = random.chance(0.6);
  return operation('set_direct_io', device, [on], (side) => side.setDirectIo(device, on));
};

const setBlockSize: Maker = (random, device) => {
  // Not 0, for which newer kernels take a default of their own: docs/semantics.md.
  const bytes = random.pick(BLOCK_SIZES.filter((size) => size > 0));
  return operation('set_block_size', device, [bytes], (side) => side.setBlockSize(device, bytes));
};

const open: Maker = (_random, device, { sessions }) =>
  sessions >= MAX_SESSIONS ? undefined : operation('open', device, [], (side) => side.open(device));

const close: Maker = (_random, device, { sessions }) =>
  sessions === 0 ? undefined : operation('close', device, [], (side) => side.close(device));

const resizeFile: Maker = (random, device) => {
  const [file, size] = [random.below(FILES), random.pick(FILE_SIZES)];
  return operation('truncate', device, [file, size], async (side) => {
    truncateSync(pathOf(side.dir, file), size);
    return 'none';
  });
};

/** Whole blocks, likely at an edge of the device or just past it. */
function range(random: Random, { size, bound }: OracleView): { offset: number; length: number } {
  const block = bound?.blockSize ?? 512;
  const blocks = Math.floor(size / block);
  const length = block * (1 + random.below(4));
  const atEnd = random.chance(0.4);
  const first = atEnd ? Math.max(0, blocks - random.below(4)) : random.below(Math.max(1, blocks));
  const rest = (blocks - first) * block;
  return { offset: first * block, length: rest > 0 && random.chance(0.6) ? Math.min(length, rest) : length };
}

const read: Maker = (random, device, { view, sessions }) => {
  if (sessions === 0) return undefined;
  const { offset, length } = range(random, view);
  return operation('read', device, [offset, length], (side) => side.read(device, offset, length));
};

const write: Maker = (random, device, { view, sessions }) => {
  if (sessions === 0) return undefined;
  const { offset, length } = range(random, view);
  // The kernel would write what fits: the files would differ from there on.
  if (offset < view.size && offset + length > view.size) return undefined;
  const data = random.bytes(length);
  return operation('write', device, [offset, length], (side) => side.write(device, offset, data));
};

type Weights = readonly (readonly [weight: number, maker: Maker])[];

/** What is tried with a device in any state. */
const ALWAYS: Weights = [
  [8, open],
  [10, close],
  [8, resizeFile],
  [14, read],
  [14, write],
  [8, clear],
  [9, setStatus],
  [3, getStatus],
  [6, setCapacity],
  [8, setDirectIo],
  [6, setBlockSize],
  [1, add],
];
const WHILE_UNBOUND: Weights = [...ALWAYS, [70, configure], [4, changeFd], [4, remove]];
const WHILE_BOUND: Weights = [...ALWAYS, [5, configure], [6, changeFd], [1, remove]];
/** A device without writers: half of what can be done with it is change_fd. */
const WHILE_READ_ONLY: Weights = [...ALWAYS, [5, configure], [40, changeFd], [1, remove]];

function weightsFor({ bound }: OracleView): Weights {
  if (bound === null) return WHILE_UNBOUND;
  return bound.readOnly ? WHILE_READ_ONLY : WHILE_BOUND;
}

/** The next operation on a device that exists or not. */
export function nextOperation(random: Random, device: number, known: Known): Operation {
  if (!known.view.exists)
    return random.chance(0.8) ? made(add, random, device, known) : made(remove, random, device, known);
  for (;;) {
    const next = random.weighted(weightsFor(known.view))(random, device, known);
    if (next !== undefined) return next;
  }
}

function made(maker: Maker, random: Random, device: number, known: Known): Operation {
  const next = maker(random, device, known);
  if (next === undefined) throw new Error('This operation is always possible.');
  return next;
}
