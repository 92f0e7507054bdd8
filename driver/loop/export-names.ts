/** Names that exports have beside `loopN`: what may be one, and whose each is. */

import { LoopError } from '../errno.js';

/** Bytes of a string of the protocol ("Conventions"). */
const MAX_STRING = 4096;
/** What stands behind a description: a binding's uuid is 36 characters. */
const UUID_BYTES = '; uuid='.length + 36;
export const MAX_DESCRIPTION_BYTES = MAX_STRING - UUID_BYTES;

/** What the user calls an export, and says of it; null: nothing. */
export interface ExportText {
  readonly exportName: string | null;
  readonly description: string | null;
}

/** An absent field leaves what there is; an empty one takes it away. */
export interface WantedText {
  readonly exportName?: string;
  readonly description?: string;
}

export const NO_TEXT: ExportText = { exportName: null, description: null };

/** Throws EINVAL for what can't be a name or a description. `device` is whose it would be. */
export function checkedText(device: string, wanted: WantedText, present: ExportText): ExportText {
  const { exportName, description } = wanted;
  return {
    exportName: exportName === undefined ? present.exportName : checkedName(device, exportName),
    description: description === undefined ? present.description : checkedDescription(device, description),
  };
}

function checkedName(device: string, name: string): string | null {
  if (name === '') return null;
  const wrong = /^loop\d+$/.test(name)
    ? 'loop and a number is the name of a device'
    : name === '*' || name.endsWith(':ro')
      ? '* and what ends in :ro mean something else in --tls-allow'
      : unprintable(name, MAX_STRING);
  if (wrong === undefined) return name;
  throw new LoopError('EINVAL', `${device} can't be exported as ${shortened(name)}: ${wrong}.`);
}

function checkedDescription(device: string, description: string): string | null {
  if (description === '') return null;
  const wrong = unprintable(description, MAX_DESCRIPTION_BYTES);
  if (wrong === undefined) return description;
  throw new LoopError('EINVAL', `${device} can't have this description: ${wrong}.`);
}

/** What keeps a text from being a string of the protocol, or a line of a listing. */
function unprintable(text: string, most: number): string | undefined {
  const bytes = Buffer.byteLength(text);
  if (bytes > most) return `it has ${bytes} bytes, and ${most} are the most`;
  if (/\p{Cs}/u.test(text)) return 'it is not UTF-8';
  if (/[\p{Cc}\u2028\u2029]/u.test(text)) return 'it has control characters or more than one line';
  return undefined;
}

const shortened = (name: string): string =>
  JSON.stringify(name.length <= 64 ? name : `${name.slice(0, 60)}...`);

/**
 * Whose each name is: one device's at a time, from before it is written down until the device has let go of its file. A
 * device that could not be brought back keeps its name. The table changes in one step, so that it needs no lock.
 */
export class ExportNames {
  readonly #claimed = new Map<string, number>();
  /** Of numbers that have no device. */
  readonly #kept = new Map<number, string>();

  /** The device that has the name, or is about to; undefined where none is. */
  holder(name: string): number | undefined {
    return this.#claimed.get(name);
  }

  /** Throws EEXIST where the name is another device's. Until `settle` the device has its names before, too. */
  claim(number: number, name: string | null): void {
    if (name === null) return;
    const holder = this.#claimed.get(name);
    const keeper = [...this.#kept].find(([, kept]) => kept === name)?.[0];
    const other = [holder, keeper].find((one) => one !== undefined && one !== number);
    if (other !== undefined) {
      throw new LoopError(
        'EEXIST',
        `loop${number} can't be exported as ${shortened(name)}: loop${other} has that name.`,
      );
    }
    this.#claimed.set(name, number);
  }

  /** The device has this name and no other. */
  settle(number: number, name: string | null): void {
    for (const [claimed, holder] of this.#claimed) {
      if (holder === number && claimed !== name) this.#claimed.delete(claimed);
    }
  }

  /** Keeps a name for a number that has no device; null gives it up. */
  keep(number: number, name: string | null): void {
    if (name === null) this.#kept.delete(number);
    else this.#kept.set(number, name);
  }
}
