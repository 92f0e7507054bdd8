/** Values of options as commander hands them over; what is none is an InvalidArgumentError, a sentence for the user. */

import { InvalidArgumentError } from 'commander';
import { parseSize, SizeError } from './size.js';

export interface ListenAddress {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
}

export const DEFAULT_PORT = 10_809;

/** `host:port`, `[v6]:port`, `:port` (any address), or `host`. */
export function listenAddress(text: string): ListenAddress {
  const match = /^(?:\[([0-9a-fA-F:.%\w]+)\]|([^:[\]\s]*))(?::(\d{1,5}))?$/.exec(text);
  const port = match?.[3] === undefined ? DEFAULT_PORT : Number(match[3]);
  if (text === '' || match === null || port > 65_535) throw new InvalidArgumentError('It is not HOST:PORT.');
  return { host: match[1] ?? (match[2] === '' || match[2] === undefined ? '::' : match[2]), port };
}

/** `host:port`, `[v6]:port`, or `:port` and `port` for the loopback. */
export function webAddress(text: string): ListenAddress {
  const isPortAlone = /^:?\d{1,5}$/.test(text);
  if (!isPortAlone && !/:\d{1,5}$/.test(text)) throw new InvalidArgumentError('It is not HOST:PORT.');
  return listenAddress(isPortAlone ? `127.0.0.1:${text.replace(':', '')}` : text);
}

/** Permission bits, in octal as chmod(1) takes them. */
export function permissions(text: string): number {
  if (!/^0?[0-7]{3}$/.test(text)) throw new InvalidArgumentError('It is not an octal mode such as 660.');
  return Number.parseInt(text, 8);
}

/** A multiple of every block size; the document asks for 1 MiB at least. */
export function payloadSize(text: string): number {
  const bytes = /^\d/.test(text) ? sizeOf(text) : undefined;
  if (bytes === undefined || bytes < 1 << 20 || bytes > 32 << 20 || bytes % (64 << 10) !== 0) {
    throw new InvalidArgumentError('It is not a size from 1M to 32M in steps of 64K.');
  }
  return bytes;
}

function sizeOf(text: string): number | undefined {
  try {
    return Number(parseSize(text));
  } catch (error) {
    if (error instanceof SizeError) return undefined;
    throw error;
  }
}

export const between =
  (least: number, most: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most) {
      throw new InvalidArgumentError(`It is not a whole number from ${least} to ${most}.`);
    }
    return value;
  };

export function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It is not a whole number.');
  return Number(text);
}

export function seconds(text: string): number {
  const value = Number(text);
  if (!(value >= 0.05 && value <= 86_400)) throw new InvalidArgumentError('It is not a number of seconds.');
  return value;
}
