import type { Input } from '../session/input.js';
import type { Operations } from '../session/operations.js';
import type { Output } from '../session/output.js';
import type { Pipes } from '../system/pipes.js';
import type { Spares } from '../system/spares.js';

/** What the connections of a thread use in turns. */
export interface Shared {
  readonly input: Input;
  readonly out: Output;
  readonly pipes: Pipes;
  readonly spares: Spares;
  readonly operations: Operations | undefined;
}
