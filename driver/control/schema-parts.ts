/** What schemas of the control API are made of. */

export const bytes = {
  oneOf: [
    { type: 'integer', minimum: 0 },
    { type: 'string', pattern: '^[0-9]{1,40}$' },
  ],
  description:
    'Bytes, 0 to 2^63 - 1: a number, or decimal digits for those whose JSON numbers are not exact.',
} as const;
export const path = {
  type: 'string',
  pattern: '^/[^\\u0000]*$',
  maxLength: 4096,
  description: 'Absolute path.',
} as const;
export const flag = { type: 'boolean' } as const;
export const flagThat = (description: string) => ({ ...flag, description }) as const;
export const count = { type: 'integer', minimum: 0 } as const;
export const text = { type: 'string' } as const;
export const textOrNull = { type: ['string', 'null'] } as const;
export const exact = {
  oneOf: [
    { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
    { type: 'string', pattern: '^[0-9]{1,20}$' },
  ],
  description: 'Unsigned, 64 bits: a number, or decimal digits beyond 2^53 - 1.',
} as const;
export const exactAnswer = { type: ['integer', 'string'], description: exact.description } as const;
export const nullableExact = { type: ['integer', 'string', 'null'], description: exact.description } as const;
export const blockSize = { type: 'integer', description: 'Bytes, a power of two, 512 to 4096.' } as const;

/** A closed object: unknown fields are refused, so that a misspelt option is an error and not a default. */
export const object = <P extends Record<string, unknown>>(
  properties: P,
  required: readonly (keyof P & string)[] = [],
) => ({ type: 'object', additionalProperties: false, properties, required }) as const;

/** An answer: the fields given are always there. */
export const answer = (properties: Record<string, unknown>) => ({
  type: 'object',
  properties,
  required: Object.keys(properties),
});
