/**
 * What profiles compute with. Objects keep the order of their members: it is signed. Integers beyond ±(2^53 − 1) are
 * bigints.
 */
export type Value =
  | undefined
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly Value[]
  | { readonly [name: string]: Value }
