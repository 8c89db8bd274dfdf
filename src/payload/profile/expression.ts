/**
 * The language of profiles: literals, paths (`$action.orders`), operators (`['@keccak', …]`), lists and objects in
 * their order. It cannot loop, recurse, name code, or reach anything but its inputs.
 */
export type Expression =
  | null
  | boolean
  | number
  | string
  | readonly Expression[]
  | { readonly [name: string]: Expression }
