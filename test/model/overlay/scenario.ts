/** What is done to a disk, as fast-check makes it up: positions are parts of its size, which is only known when it is done. */
import fc from 'fast-check';

/** `at`, `length`: of 2^16. `fill`: what is written begins with this byte. */
export interface Wish {
  readonly kind: 'write' | 'gather' | 'trim' | 'zero' | 'flush' | 'read';
  readonly at: number;
  readonly length: number;
  /** Bytes to which both are rounded. */
  readonly unit: number;
  readonly fill: number;
  readonly flag: boolean;
}

export type Operation =
  | 'none'
  | 'snapshot'
  | 'commit'
  | 'flatten'
  | 'move'
  | 'cancelled move'
  | 'cancelled commit'
  | 'grow the delta'
  | 'grow the base'
  | 'rebind';

/** An operation, and what threads ask for meanwhile, each a list. */
export interface Step {
  readonly operation: Operation;
  readonly lanes: readonly (readonly Wish[])[];
}

/** From a bind to the end. */
export interface Life {
  readonly steps: readonly Step[];
  /** The power goes at this change or sync of files; if it is never reached, at the end. Undefined: an end in order. */
  readonly death: number | undefined;
  /** By this it is decided what a cut leaves of what was not synced. */
  readonly cut: number;
}

export interface Scenario {
  readonly blockSize: number;
  readonly sectors: number;
  readonly lives: readonly Life[];
}

export const LANES = 3;

const wish: fc.Arbitrary<Wish> = fc.record({
  kind: fc.oneof(
    { weight: 8, arbitrary: fc.constant('write' as const) },
    { weight: 2, arbitrary: fc.constant('gather' as const) },
    { weight: 1, arbitrary: fc.constantFrom('trim' as const, 'zero' as const) },
    { weight: 2, arbitrary: fc.constant('flush' as const) },
    { weight: 2, arbitrary: fc.constant('read' as const) },
  ),
  at: fc.nat(0xffff),
  length: fc.oneof({ weight: 6, arbitrary: fc.nat(0x7ff) }, { weight: 1, arbitrary: fc.nat(0xffff) }),
  unit: fc.constantFrom(1, 512, 4096),
  fill: fc.nat(255),
  flag: fc.boolean(),
});

const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 8, arbitrary: fc.constant('none' as const) },
  { weight: 4, arbitrary: fc.constant('snapshot' as const) },
  { weight: 2, arbitrary: fc.constant('commit' as const) },
  {
    weight: 5,
    arbitrary: fc.constantFrom<Operation>(
      'flatten',
      'move',
      'cancelled move',
      'cancelled commit',
      'grow the delta',
      'grow the base',
      'rebind',
    ),
  },
);

const step: fc.Arbitrary<Step> = fc.record({
  operation,
  lanes: fc.array(fc.array(wish, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: LANES }),
});

const life: fc.Arbitrary<Life> = fc.record({
  steps: fc.array(step, { minLength: 1, maxLength: 5 }),
  death: fc.option(fc.integer({ min: 1, max: 160 }), { nil: undefined, freq: 4 }),
  cut: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
});

export const scenario: fc.Arbitrary<Scenario> = fc.record({
  blockSize: fc.constantFrom(4096, 4096, 16_384),
  sectors: fc.integer({ min: 1, max: 400 }),
  lives: fc.array(life, { minLength: 1, maxLength: 3 }),
});
