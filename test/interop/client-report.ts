import type { Address, Hex } from 'viem'

/** What every client is told to do, whatever its language. Handed over as JSON on stdin. */
export type ClientTask = {
  /** `host:port`, or `unix:` and an absolute path. */
  readonly target: string
  readonly api_key: string
  readonly user_id: string
  readonly text: string
  readonly typed_data_json: string
  readonly transaction: {
    readonly chain_id: number
    readonly nonce: number
    readonly gas_limit: number
    readonly max_fee_per_gas: string
    readonly max_priority_fee_per_gas: string
    readonly to: Address
    readonly value: string
  }
}

/** What it reports back as JSON on stdout: the daemon's answers, unjudged. */
export type ClientReport = {
  readonly wallet: { readonly wallet_id: string; readonly address: Address; readonly public_key: string }
  /** Wallet ids found by each reference. */
  readonly found: Readonly<Record<FoundBy, string>>
  readonly message_signature: Hex
  readonly typed_data_signature: Hex
  readonly signed_transaction: Hex
  readonly transaction_hash: Hex
  /** What a second wallet for the same user is refused with. */
  readonly refusal: {
    readonly code: string
    readonly domain: string
    readonly reason: string
    readonly metadata: Readonly<Record<string, string>>
  }
}

export const FOUND_BY = ['wallet_id', 'address', 'address_lower', 'address_upper', 'user_id'] as const
export type FoundBy = (typeof FOUND_BY)[number]

/** The references under which a wallet must be found. */
export const referencesOf = (walletId: string, address: string, userId: string): Record<FoundBy, string> => ({
  wallet_id: walletId,
  address,
  address_lower: address.toLowerCase(),
  address_upper: `0x${address.slice(2).toUpperCase()}`,
  user_id: userId,
})

export type InteropClient = {
  readonly name: string
  readonly target: string
  readonly run: (task: ClientTask) => Promise<ClientReport>
}
