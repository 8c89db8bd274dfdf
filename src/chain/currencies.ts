/** Tokens that are known by a name on a network. The configuration (`[[token]]`) adds to these, or takes their place. */
export type Currency = {
  readonly network: string
  readonly currency: string
  /** 20 bytes, with its checksum; on Solana the mint in base58. */
  readonly tokenAddress: string
  readonly decimals: number
}

/** The same chain under a name of its own, with a spender of its own. */
export const CHAIN_OF_NETWORK: ReadonlyMap<string, string> = new Map([['linea-us', 'linea']])

const LINEA_USDC = '0x176211869cA2b568f2A7D4EE941E073a821EE1ff'
const LINEA_USDT = '0xA219439258ca9da29E9Cc4cE5596924745e12B93'

const KNOWN_CURRENCIES: readonly Currency[] = [
  { network: 'ethereum', currency: 'usdc', tokenAddress: '0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48', decimals: 6 },
  { network: 'ethereum', currency: 'usdt', tokenAddress: '0xdAC17F958D2ee523a2206206994597C13D831ec7', decimals: 6 },
  { network: 'linea', currency: 'usdc', tokenAddress: LINEA_USDC, decimals: 6 },
  { network: 'linea', currency: 'usdt', tokenAddress: LINEA_USDT, decimals: 6 },
  { network: 'solana', currency: 'usdc', tokenAddress: 'EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v', decimals: 6 },
  { network: 'solana', currency: 'usdt', tokenAddress: 'Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB', decimals: 6 },
]

/** Every currency, the configured ones in the place of those that are known. */
export class Currencies {
  readonly #all = new Map<string, Currency>()

  constructor(configured: readonly Currency[]) {
    for (const one of [...KNOWN_CURRENCIES, ...configured]) this.#all.set(`${one.network} ${one.currency}`, one)
  }

  find(network: string, currency: string): Currency | undefined {
    return this.#all.get(`${network} ${currency}`) ?? this.#all.get(`${CHAIN_OF_NETWORK.get(network) ?? network} ${currency}`)
  }

  /** Where any is known. */
  get networks(): readonly string[] {
    return [...new Set([...this.#all.values()].map(({ network }) => network))]
  }

  /** By their names. */
  on(network: string): readonly Currency[] {
    const base = CHAIN_OF_NETWORK.get(network) ?? network
    const names = new Set([...this.#all.values()].filter((one) => one.network === network || one.network === base).map(({ currency }) => currency))
    return [...names].toSorted().flatMap((name) => this.find(network, name) ?? [])
  }
}
