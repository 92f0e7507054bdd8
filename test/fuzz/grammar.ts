/** What clients say: whole options and requests, mostly sensible, and the sessions that fuzzing starts from. */
import type { ReplyMode } from '../../server/negotiation/outcome.js';
import { Cmd, CmdFlag, Info, Opt } from '../../server/wire/constants.js';
import { contextData, infoData, option, u16, u32 } from '../helpers/handshake.js';
import { type Ask, encodeAsk } from '../helpers/transmission-client.js';
import { inputOf } from './input.js';
import type { Random } from './random.js';

/** Bytes of the device that sessions are about. */
export const DEVICE_BYTES = 128 << 10;

const NAMES = ['loop0', 'loop1', '', 'loop', 'é', 'n'.repeat(4096)];
const QUERIES = [
  'base:allocation',
  'base:',
  'nbdloop:dirty',
  'nbdloop:overlay',
  'nbdloop:',
  'x:y',
  'nocolon',
  ':',
  '',
];
const OPTIONS = [...Object.values(Opt), 0, 12, 0xffff_ffff];
const COMMANDS = [...Object.values(Cmd), 9, 0xffff];
const FLAGS = [0, 0, 0, 1, 2, 4, 8, 16, 32, 33, 18, 0x8000, 0xffff];
const LENGTHS = [512, 4096, 1, 0, 511, 65536, 65537, 100_000, DEVICE_BYTES, 0xffff_ffff, 0x2000_0001];

/** Data of an option of this type. */
function optionData(random: Random, type: number): Buffer {
  const name = random.pick(NAMES);
  const some = <T>(values: readonly T[]): T[] =>
    Array.from({ length: random.below(4) }, () => random.pick(values));
  switch (type) {
    case Opt.INFO:
    case Opt.GO:
      return infoData(name, some([...Object.values(Info), 9]));
    case Opt.LIST_META_CONTEXT:
    case Opt.SET_META_CONTEXT:
      return contextData(name, some(QUERIES));
    case Opt.EXPORT_NAME:
    case Opt.PEEK_EXPORT:
      return Buffer.from(name);
    default:
      return random.once(4) ? random.bytes(random.below(20)) : Buffer.alloc(0);
  }
}

export function someOption(random: Random): Buffer {
  const type = random.pick(OPTIONS);
  return option(random.once(8) ? random.pick(OPTIONS) : type, optionData(random, type));
}

export function someRequest(random: Random, mode: ReplyMode): Buffer {
  const type = random.pick(COMMANDS);
  const sector = random.below(DEVICE_BYTES / 512) * 512;
  const offset = random.once(6) ? random.next() * random.pick([1, 1, 2 ** 20]) : sector;
  const length = random.pick(LENGTHS);
  const base: Ask = { type, flags: random.pick(FLAGS), cookie: BigInt(random.next()), offset, length };
  const hasPayload = type === Cmd.WRITE || (mode === 'extended' && ((base.flags ?? 0) & 32) !== 0);
  const payload = Buffer.alloc(Math.min(length, 70_000), random.next());
  return encodeAsk(
    mode,
    hasPayload && !random.once(10) ? { ...base, length: payload.length, payload } : base,
  );
}

const CLIENT_FLAGS = u32(3);

/** The options that lead to a form of replies. */
function agreement(mode: ReplyMode, name: string): Buffer[] {
  if (mode === 'simple') return [];
  const form = option(mode === 'extended' ? Opt.EXTENDED_HEADERS : Opt.STRUCTURED_REPLY);
  const contexts = contextData(name, ['base:allocation', 'nbdloop:dirty', 'nbdloop:overlay']);
  return [form, option(Opt.SET_META_CONTEXT, contexts)];
}

/** The devices; on the wire the second one is direct where that is possible, so that reads and writes are started. */
export const DEVICES = ['loop0', 'loop1'] as const;

/** A handshake up to its GO, with block sizes asked for. */
export const handshakeFor = (mode: ReplyMode, name: string = DEVICES[0]): Buffer =>
  Buffer.concat([CLIENT_FLAGS, ...agreement(mode, name), option(Opt.GO, infoData(name, [Info.BLOCK_SIZE]))]);

const PAYLOAD = Buffer.alloc(4096, 0x5a);
const RANGE = { offset: 4096, length: 8192 };

/** A BLOCK_STATUS whose payload has its length, and asks of these contexts alone. */
const narrowedStatus = (contexts: readonly number[]): Ask => ({
  type: Cmd.BLOCK_STATUS,
  flags: CmdFlag.PAYLOAD_LEN,
  offset: 0,
  payload: Buffer.concat([u32(0), u32(DEVICE_BYTES), ...contexts.map(u32)]),
});

/** One of each command, with DISC last. */
const everyCommand = (mode: ReplyMode): Buffer[] =>
  [
    { type: Cmd.WRITE, offset: 4096, payload: PAYLOAD },
    { type: Cmd.WRITE, flags: 1, offset: 0, payload: Buffer.alloc(70_000, 7) },
    { type: Cmd.READ, ...RANGE },
    { type: Cmd.READ, offset: 0, length: DEVICE_BYTES },
    { type: Cmd.READ, flags: mode === 'simple' ? 0 : 4, offset: 0, length: DEVICE_BYTES },
    { type: Cmd.FLUSH },
    { type: Cmd.TRIM, flags: 1, ...RANGE },
    { type: Cmd.WRITE_ZEROES, flags: 2, ...RANGE },
    { type: Cmd.CACHE, ...RANGE },
    { type: Cmd.BLOCK_STATUS, offset: 0, length: DEVICE_BYTES },
    { type: Cmd.BLOCK_STATUS, flags: 8, offset: 0, length: DEVICE_BYTES },
    ...(mode === 'extended' ? [[1], [1, 2], []].map(narrowedStatus) : []),
    { type: Cmd.READ, offset: DEVICE_BYTES, length: 512 },
    { type: 77, cookie: 7n },
    { type: Cmd.DISC },
  ].map((ask, index) => encodeAsk(mode, { cookie: BigInt(index), ...ask }));

/** Sessions that work, to start from. */
export function seedInputs(): Buffer[] {
  const sessions = (['simple', 'structured', 'extended'] as const).flatMap((mode) =>
    DEVICES.map((name) => Buffer.concat([handshakeFor(mode, name), ...everyCommand(mode)])),
  );
  const options = [
    option(Opt.LIST),
    option(Opt.INFO, infoData('', [Info.NAME, Info.DESCRIPTION, Info.BLOCK_SIZE])),
    option(Opt.STRUCTURED_REPLY),
    option(Opt.LIST_META_CONTEXT, contextData('loop0', [])),
    option(Opt.STARTTLS),
    option(99, Buffer.from('unknown')),
    option(Opt.ABORT),
  ];
  const byName = option(Opt.EXPORT_NAME, Buffer.from('loop1'));
  return [
    ...sessions,
    Buffer.concat([CLIENT_FLAGS, ...options]),
    Buffer.concat([u32(1), byName, ...everyCommand('simple')]),
    Buffer.concat([u32(0), byName]),
    Buffer.concat([u32(9), option(Opt.LIST)]),
    Buffer.concat([CLIENT_FLAGS, option(Opt.GO, Buffer.concat([u32(9), u16(0)]))]),
  ].map((wire) => inputOf(wire));
}
