/** How much `--compare` does; `quick` is for trying the harness, its figures mean nothing. */
export type CompareSizes = {
  readonly warmUp: number
  readonly echo: number
  readonly plain: number
  readonly cold: number
  /** Signatures of the warm run, and the least time it lasts. */
  readonly warm: number
  readonly warmMinMs: number
  readonly stream: number
  /** One at a time. */
  readonly alone: number
  /** With pools that are refilled meanwhile. */
  readonly refillingMs: number
  readonly besideFiller: number
  /** How deep the pools are that are filled meanwhile. */
  readonly fillerDepth: number
  readonly wallets: number
}

export const FULL: CompareSizes = {
  warmUp: 500,
  echo: 20_000,
  plain: 6_000,
  cold: 1_200,
  warm: 20_000,
  warmMinMs: 10_000,
  stream: 4_000,
  alone: 1_000,
  refillingMs: 10_000,
  besideFiller: 800,
  fillerDepth: 4_096,
  wallets: 8,
}

export const QUICK: CompareSizes = {
  warmUp: 8,
  echo: 64,
  plain: 64,
  cold: 32,
  warm: 64,
  warmMinMs: 0,
  stream: 64,
  alone: 8,
  refillingMs: 200,
  besideFiller: 8,
  fillerDepth: 64,
  wallets: 2,
}
