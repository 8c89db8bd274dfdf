export type ChainStatus = {
  readonly network: string
  readonly state: 'usable' | 'unavailable' | 'not_configured'
  /** Of EVM chains. */
  readonly chainId: bigint | undefined
  /** The newest block, on Solana the slot; undefined where none was told. */
  readonly block: bigint | undefined
  /** Why it cannot be used. */
  readonly detail: string
}
