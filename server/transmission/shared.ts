import type { Input } from './input.js';
import type { Operations } from './operations.js';
import type { Output } from './output.js';
import type { Pipes } from './pipes.js';
import type { Spares } from './spares.js';

/** What the connections of a thread use in turns. */
export interface Shared {
  readonly input: Input;
  readonly out: Output;
  readonly pipes: Pipes;
  readonly spares: Spares;
  readonly operations: Operations | undefined;
}
