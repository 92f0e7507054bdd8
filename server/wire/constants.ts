/**
 * Numbers of the NBD protocol document (proto.md of the NetworkBlockDevice project), under its names without the
 * `NBD_` prefix. Everything on the wire is big-endian.
 */

/** 64-bit and 32-bit magic numbers. */
export const Magic = {
  /** `NBDMAGIC`: the first 8 bytes of every server. */
  INIT: 0x4e42444d41474943n,
  /** `IHAVEOPT`: newstyle greeting, and the start of every option. */
  OPTION: 0x49484156454f5054n,
  /** Start of every option reply. */
  OPTION_REPLY: 0x0003e889045565a9n,
  REQUEST: 0x25609513,
  SIMPLE_REPLY: 0x67446698,
  STRUCTURED_REPLY: 0x668e33ef,
  EXTENDED_REQUEST: 0x21e41c71,
  EXTENDED_REPLY: 0x6e8a278c,
} as const;

/** Handshake flags, 16 bits, server to client. */
export const HandshakeFlag = { FIXED_NEWSTYLE: 1, NO_ZEROES: 2 } as const;

/** Client flags, 32 bits, client to server. */
export const ClientFlag = { FIXED_NEWSTYLE: 1, NO_ZEROES: 2 } as const;

/** Transmission flags of an export, 16 bits. */
export const TransmissionFlag = {
  HAS_FLAGS: 1 << 0,
  READ_ONLY: 1 << 1,
  SEND_FLUSH: 1 << 2,
  SEND_FUA: 1 << 3,
  ROTATIONAL: 1 << 4,
  SEND_TRIM: 1 << 5,
  SEND_WRITE_ZEROES: 1 << 6,
  SEND_DF: 1 << 7,
  CAN_MULTI_CONN: 1 << 8,
  SEND_RESIZE: 1 << 9,
  SEND_CACHE: 1 << 10,
  SEND_FAST_ZERO: 1 << 11,
  BLOCK_STATUS_PAYLOAD: 1 << 12,
} as const;

/** Option types. */
export const Opt = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  PEEK_EXPORT: 4,
  STARTTLS: 5,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
  EXTENDED_HEADERS: 11,
} as const;

/** Option reply types; errors have bit 31. */
export const Rep = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  META_CONTEXT: 4,
  ERR_UNSUP: 0x80000001,
  ERR_POLICY: 0x80000002,
  ERR_INVALID: 0x80000003,
  ERR_PLATFORM: 0x80000004,
  ERR_TLS_REQD: 0x80000005,
  ERR_UNKNOWN: 0x80000006,
  ERR_SHUTDOWN: 0x80000007,
  ERR_BLOCK_SIZE_REQD: 0x80000008,
  ERR_TOO_BIG: 0x80000009,
  ERR_EXT_HEADER_REQD: 0x8000000a,
} as const;

/** Information types of INFO and GO. */
export const Info = { EXPORT: 0, NAME: 1, DESCRIPTION: 2, BLOCK_SIZE: 3 } as const;

/** Request types. */
export const Cmd = {
  READ: 0,
  WRITE: 1,
  DISC: 2,
  FLUSH: 3,
  TRIM: 4,
  CACHE: 5,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
  RESIZE: 8,
} as const;

/** Command flags of a request, 16 bits. */
export const CmdFlag = {
  /** WRITE, TRIM, WRITE_ZEROES: durable before the reply. Accepted and void elsewhere. */
  FUA: 1 << 0,
  /** WRITE_ZEROES: the range stays allocated. */
  NO_HOLE: 1 << 1,
  /** READ: the data comes in one chunk or the request fails with EOVERFLOW. */
  DF: 1 << 2,
  /** BLOCK_STATUS: one extent a context. */
  REQ_ONE: 1 << 3,
  /** WRITE_ZEROES: ENOTSUP at once rather than slower than a write. */
  FAST_ZERO: 1 << 4,
  /** Extended headers: the length counts the payload that follows, not the effect. */
  PAYLOAD_LEN: 1 << 5,
} as const;

/** Flags of a structured or extended reply chunk. */
export const ReplyFlag = { DONE: 1 } as const;

/** Types of a structured or extended reply chunk; errors have bit 15. */
export const ReplyType = {
  NONE: 0,
  OFFSET_DATA: 1,
  OFFSET_HOLE: 2,
  BLOCK_STATUS: 5,
  BLOCK_STATUS_EXT: 6,
  ERROR: 0x8001,
  ERROR_OFFSET: 0x8002,
} as const;

/** Status flags of an extent in the `base:allocation` context. */
export const AllocationFlag = { HOLE: 1, ZERO: 2 } as const;

/** Error numbers a reply may carry ("Error values"); equal to Linux's by design, on every platform. */
export const WireErrno = {
  OK: 0,
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const;

/** Bytes of the fixed parts of messages. */
export const Size = {
  /** NBDMAGIC, IHAVEOPT, handshake flags. */
  GREETING: 18,
  CLIENT_FLAGS: 4,
  /** IHAVEOPT, option, length. */
  OPTION_HEADER: 16,
  /** Magic, option, reply type, length. */
  OPTION_REPLY_HEADER: 20,
  /** Reserved zeroes after the reply to EXPORT_NAME, unless NO_ZEROES was negotiated. */
  EXPORT_NAME_ZEROES: 124,
  REQUEST: 28,
  EXTENDED_REQUEST: 32,
  SIMPLE_REPLY: 16,
  STRUCTURED_REPLY: 20,
  EXTENDED_REPLY: 32,
} as const;

/** Longest string of the protocol in bytes of UTF-8: names, descriptions, queries, error messages. */
export const MAX_STRING = 4096;
