/**
 * What a value from outside must look like. Nothing is coerced: text is text, integers are whole, decimals are written
 * in the one canonical form; members that are not named are refused, and the order of the shape is the order of the
 * value.
 */
export type Shape =
  | { readonly kind: 'text'; readonly max: number; readonly pattern?: string; readonly min?: number }
  | { readonly kind: 'word'; readonly of: readonly string[] }
  | { readonly kind: 'constant'; readonly value: string | number | boolean }
  | { readonly kind: 'boolean' }
  /** A JSON integer within ±(2^53 − 1), or with `text` a decimal string of any size up to `max`. */
  | { readonly kind: 'integer'; readonly min?: string; readonly max: string; readonly text?: boolean }
  /** A decimal string: no exponent, no superfluous zeros, at most `places` digits after the point. */
  | { readonly kind: 'decimal'; readonly digits: number; readonly places: number; readonly signed?: boolean; readonly positive?: boolean }
  /** 0x and 40 hex digits, in mixed case with a valid checksum. */
  | { readonly kind: 'address'; readonly write: 'lower' | 'checksum'; readonly zero?: boolean }
  /** 0x and hex of so many bytes, written in lower case. */
  | { readonly kind: 'hex'; readonly bytes: number }
  | { readonly kind: 'hex-up-to'; readonly bytes: number }
  | { readonly kind: 'list'; readonly of: Shape; readonly min?: number; readonly max: number }
  | { readonly kind: 'object'; readonly members: { readonly [name: string]: Member } }
  /** An object that fits exactly one of these. */
  | { readonly kind: 'either'; readonly of: readonly Shape[] }
  | { readonly kind: 'nullable'; readonly of: Shape }

/** A shape, or one that may be left out. */
export type Member = Shape | { readonly optional: Shape }
