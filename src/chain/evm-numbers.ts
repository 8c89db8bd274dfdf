/** What nodes answer in the reads that a send needs, checked for form. Throws, or undefined, refuses an answer. */
export const QUANTITY = /^0x(?:0|[1-9a-f][0-9a-f]{0,63})$/
export const HASH = /^0x[0-9a-f]{64}$/

/** `0x` and hexadecimal digits without leading zeros, in lower case. */
export const readQuantity = (result: unknown): string | undefined =>
  typeof result === 'string' && QUANTITY.test(result.toLowerCase()) ? result.toLowerCase() : undefined

const requireQuantity = (value: unknown): bigint => {
  const text = readQuantity(value)
  if (text === undefined) throw new Error('not a quantity')
  return BigInt(text)
}

/** What SQLite and everybody else counts with. */
const MAX_COUNT = (1n << 53n) - 1n

/** Of blocks or transactions: a number that no chain has reached is no answer. */
export const readCount = (result: unknown): bigint => {
  const count = requireQuantity(result)
  if (count > MAX_COUNT) throw new Error('not a count')
  return count
}

export const readNumber = (result: unknown): bigint => requireQuantity(result)

/** The hash that a transaction got which a node has taken. */
export const readHash = (result: unknown): string | undefined =>
  typeof result === 'string' && HASH.test(result.toLowerCase()) ? result.toLowerCase() : undefined

/** What a block says the next one's gas costs at least; undefined on a chain without EIP-1559. */
export const readBaseFee = (result: unknown): { readonly baseFee: bigint | undefined } => {
  const { number, baseFeePerGas } = result as { readonly number?: unknown; readonly baseFeePerGas?: unknown }
  requireQuantity(number)
  return { baseFee: baseFeePerGas === undefined || baseFeePerGas === null ? undefined : requireQuantity(baseFeePerGas) }
}

const MAX_REWARDS = 1_024

/** The median of what the blocks of `eth_feeHistory` paid beside the base fee, those left out that paid nothing. */
export const readReward = (result: unknown): bigint => {
  const { reward } = result as { readonly reward?: unknown }
  if (reward === undefined || reward === null) return 0n
  if (!Array.isArray(reward) || reward.length > MAX_REWARDS) throw new Error('rewards that are none')
  const paid = reward.map((one: unknown) => requireQuantity(Array.isArray(one) ? one[0] : undefined)).filter((one) => one > 0n)
  const sorted = paid.toSorted((one, other) => (one < other ? -1 : one > other ? 1 : 0))
  return sorted[Math.trunc(sorted.length / 2)] ?? 0n
}
