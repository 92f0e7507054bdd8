/** The part of buffer-layout 1.2 that the codecs use; the package brings no types. */
declare module 'buffer-layout' {
  /** A field of a structure: its name, its bytes on the wire, its value in JavaScript. */
  export interface Field<Name extends string, Value> {
    readonly property: Name;
    readonly span: number;
    decode(from: Buffer, offset?: number): Value;
    encode(value: Value, into: Buffer, offset?: number): number;
  }

  type AnyField = Field<string, number> | Field<string, Buffer>;
  type ValueOf<F> = F extends Field<string, infer Value> ? Value : never;

  /** The object a structure decodes to. */
  export type Shape<F extends readonly AnyField[]> = {
    [E in F[number] as E['property']]: ValueOf<E>;
  };

  export interface Structure<F extends readonly AnyField[]> {
    /** Bytes; fixed, as every field here is. */
    readonly span: number;
    /** Throws RangeError when `from` is too short. */
    decode(from: Buffer, offset?: number): Shape<F>;
    encode(value: Shape<F>, into: Buffer, offset?: number): number;
  }

  export function u8<Name extends string>(property: Name): Field<Name, number>;
  /** Without a suffix: little-endian. */
  export function u16<Name extends string>(property: Name): Field<Name, number>;
  export function u32<Name extends string>(property: Name): Field<Name, number>;
  export function nu64<Name extends string>(property: Name): Field<Name, number>;
  export function u16be<Name extends string>(property: Name): Field<Name, number>;
  export function u32be<Name extends string>(property: Name): Field<Name, number>;
  /** A 64-bit number; exact up to 2^53. */
  export function nu64be<Name extends string>(property: Name): Field<Name, number>;
  export function blob<Name extends string>(length: number, property: Name): Field<Name, Buffer>;
  export function struct<const F extends readonly AnyField[]>(fields: F): Structure<F>;
}
