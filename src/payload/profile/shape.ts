/**
 * What a value from outside must look like. Nothing is coerced: text is text, integers are whole, decimals are written
 * in the one canonical form; members that are not named are refused, and the order of the shape is the order of the
 * value, whatever order was sent.
 */
export type Shape =
  | { readonly kind: 'text'; readonly max: number; readonly pattern: string }
  | { readonly kind: 'word'; readonly of: readonly string[] }
  | { readonly kind: 'constant'; readonly value: string | boolean }
  | { readonly kind: 'boolean' }
  /** A JSON integer within ±(2^53 − 1). */
  | { readonly kind: 'integer'; readonly min: number; readonly max: number }
  /** A decimal string of an unsigned integer of so many bits; its value is a bigint. */
  | { readonly kind: 'big'; readonly bits: number; readonly min?: number }
  /** A decimal string: no exponent, no superfluous zeros; so many digits before the point, so many after. */
  | {
      readonly kind: 'decimal'
      readonly digits: number
      readonly places: number
      readonly range: 'any' | 'unsigned' | 'positive'
    }
  /** 0x and 40 hex digits, in mixed case with a valid checksum. Zero is refused unless it is let in. */
  | { readonly kind: 'address'; readonly write: 'lower' | 'checksum'; readonly zero?: boolean }
  /** 0x and hex, written in lower case: exactly `bytes`, or up to `max` bytes. */
  | { readonly kind: 'hex'; readonly bytes: number }
  | { readonly kind: 'hex'; readonly max: number }
  /** Base64 or base64url text of up to `max` bytes, kept as it is. */
  | { readonly kind: 'base64'; readonly max: number }
  | { readonly kind: 'list'; readonly of: Shape; readonly min: number; readonly max: number }
  | { readonly kind: 'object'; readonly members: Members }
  /** The first of these that the value looks like. */
  | { readonly kind: 'either'; readonly of: readonly Shape[] }
  | { readonly kind: 'nullable'; readonly of: Shape }

/** A shape, or one that may be left out. */
export type Member = Shape | { readonly optional: Shape }
export type Members = { readonly [name: string]: Member }
