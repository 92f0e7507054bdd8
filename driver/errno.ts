import { constants } from 'node:os';

/** Name of a Linux errno, e.g. 'EBUSY'. */
export type ErrnoName = keyof typeof constants.errno;

/** An error of the control path: one plain sentence for the user, and the errno the kernel's loop driver gives. */
export class LoopError extends Error {
  override readonly name = 'LoopError';
  constructor(
    readonly errno: ErrnoName,
    message: string,
  ) {
    super(message);
  }
}

const NAMES = new Map<number, ErrnoName>();
for (const [name, number] of Object.entries(constants.errno)) {
  if (!NAMES.has(number)) NAMES.set(number, name as ErrnoName);
}

/** Name of an errno number; unknown numbers read as EIO. */
export const errnoName = (number: number): ErrnoName => NAMES.get(number) ?? 'EIO';
