import { bytesToBigint, toHex } from './bytes.ts'
import type { DestinationRole } from './facts.ts'

/**
 * The calls by which tokens move, or by which somebody is allowed to move them: ERC-20 (with the allowance calls
 * of OpenZeppelin), ERC-721, ERC-777, ERC-1155, ERC-1363 and ERC-677, ERC-2612 and ERC-3009 on chain. Each says in
 * which word of the arguments the addresses and the amount stand.
 */
type TokenCallShape = {
  readonly name: string
  /** Words of the head. Without dynamic arguments they are all there is. */
  readonly words: number
  readonly dynamic?: true
  readonly reaches: readonly (readonly [word: number, role: DestinationRole])[]
  /** Which word holds the amount, or a fixed amount. */
  readonly amount: { readonly word: number } | { readonly allIfTrue: number } | { readonly fixed: bigint }
}

/** An allowance over everything; larger than any cap can be meant. */
export const UNLIMITED = (1n << 256n) - 1n

const ONE_ITEM = { fixed: 1n } as const

export const TOKEN_CALLS: ReadonlyMap<string, TokenCallShape> = new Map<string, TokenCallShape>([
  [
    '0xa9059cbb',
    { name: 'transfer(address,uint256)', words: 2, reaches: [[0, 'recipient']], amount: { word: 1 } },
  ],
  [
    '0x23b872dd',
    { name: 'transferFrom(address,address,uint256)', words: 3, reaches: [[1, 'recipient']], amount: { word: 2 } },
  ],
  ['0x095ea7b3', { name: 'approve(address,uint256)', words: 2, reaches: [[0, 'spender']], amount: { word: 1 } }],
  [
    '0x39509351',
    { name: 'increaseAllowance(address,uint256)', words: 2, reaches: [[0, 'spender']], amount: { word: 1 } },
  ],
  [
    '0xa457c2d7',
    { name: 'decreaseAllowance(address,uint256)', words: 2, reaches: [[0, 'spender']], amount: { fixed: 0n } },
  ],
  [
    '0xd73dd623',
    { name: 'increaseApproval(address,uint256)', words: 2, reaches: [[0, 'spender']], amount: { word: 1 } },
  ],
  [
    '0x66188463',
    { name: 'decreaseApproval(address,uint256)', words: 2, reaches: [[0, 'spender']], amount: { fixed: 0n } },
  ],
  [
    '0xd505accf',
    {
      name: 'permit(address,address,uint256,uint256,uint8,bytes32,bytes32)',
      words: 7,
      reaches: [[1, 'spender']],
      amount: { word: 2 },
    },
  ],
  [
    '0xe3ee160e',
    {
      name: 'transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)',
      words: 9,
      reaches: [[1, 'recipient']],
      amount: { word: 2 },
    },
  ],
  [
    '0x42842e0e',
    { name: 'safeTransferFrom(address,address,uint256)', words: 3, reaches: [[1, 'recipient']], amount: ONE_ITEM },
  ],
  [
    '0xb88d4fde',
    {
      name: 'safeTransferFrom(address,address,uint256,bytes)',
      words: 4,
      dynamic: true,
      reaches: [[1, 'recipient']],
      amount: ONE_ITEM,
    },
  ],
  [
    '0xa22cb465',
    { name: 'setApprovalForAll(address,bool)', words: 2, reaches: [[0, 'spender']], amount: { allIfTrue: 1 } },
  ],
  [
    '0xf242432a',
    {
      name: 'safeTransferFrom(address,address,uint256,uint256,bytes)',
      words: 5,
      dynamic: true,
      reaches: [[1, 'recipient']],
      amount: { word: 3 },
    },
  ],
  // The amounts are an array: nothing short of everything is claimed about it.
  [
    '0x2eb2c2d6',
    {
      name: 'safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)',
      words: 5,
      dynamic: true,
      reaches: [[1, 'recipient']],
      amount: { fixed: UNLIMITED },
    },
  ],
  [
    '0x1296ee62',
    { name: 'transferAndCall(address,uint256)', words: 2, reaches: [[0, 'recipient']], amount: { word: 1 } },
  ],
  [
    '0x4000aea0',
    {
      name: 'transferAndCall(address,uint256,bytes)',
      words: 3,
      dynamic: true,
      reaches: [[0, 'recipient']],
      amount: { word: 1 },
    },
  ],
  [
    '0xd8fbe994',
    {
      name: 'transferFromAndCall(address,address,uint256)',
      words: 3,
      reaches: [[1, 'recipient']],
      amount: { word: 2 },
    },
  ],
  [
    '0xc1d34b89',
    {
      name: 'transferFromAndCall(address,address,uint256,bytes)',
      words: 4,
      dynamic: true,
      reaches: [[1, 'recipient']],
      amount: { word: 2 },
    },
  ],
  [
    '0x3177029f',
    { name: 'approveAndCall(address,uint256)', words: 2, reaches: [[0, 'spender']], amount: { word: 1 } },
  ],
  [
    '0xcae9ca51',
    {
      name: 'approveAndCall(address,uint256,bytes)',
      words: 3,
      dynamic: true,
      reaches: [[0, 'spender']],
      amount: { word: 1 },
    },
  ],
  [
    '0x9bd9bbc6',
    {
      name: 'send(address,uint256,bytes)',
      words: 3,
      dynamic: true,
      reaches: [[0, 'recipient']],
      amount: { word: 1 },
    },
  ],
  [
    '0x62ad1b83',
    {
      name: 'operatorSend(address,address,uint256,bytes,bytes)',
      words: 5,
      dynamic: true,
      reaches: [[1, 'recipient']],
      amount: { word: 2 },
    },
  ],
  [
    '0x959b8c3f',
    { name: 'authorizeOperator(address)', words: 1, reaches: [[0, 'spender']], amount: { fixed: UNLIMITED } },
  ],
])

export type TokenCall = {
  readonly name: string
  readonly reaches: readonly { readonly role: DestinationRole; readonly address: string }[]
  readonly amount: bigint
}

const word = (data: Uint8Array, index: number): Uint8Array => data.subarray(4 + 32 * index, 36 + 32 * index)

/** An address argument; undefined when the 12 bytes above it are not zero, since contracts differ on those. */
const addressWord = (data: Uint8Array, index: number): string | undefined => {
  const bytes = word(data, index)
  return bytes.subarray(0, 12).every((byte) => byte === 0) ? toHex(bytes.subarray(12)) : undefined
}

const readAmount = (data: Uint8Array, amount: TokenCallShape['amount']): bigint | undefined => {
  if ('fixed' in amount) return amount.fixed
  if ('word' in amount) return bytesToBigint(word(data, amount.word))
  const flag = bytesToBigint(word(data, amount.allIfTrue))
  if (flag > 1n) return undefined
  return flag === 1n ? UNLIMITED : 0n
}

/**
 * A token call read from calldata: undefined when the selector is not a token call's, `malformed` when it is but
 * the arguments are not the exact words of such a call (truncated, followed by more, addresses with dirty high
 * bytes).
 */
export const readTokenCall = (data: Uint8Array): TokenCall | 'malformed' | undefined => {
  const shape = data.length >= 4 ? TOKEN_CALLS.get(toHex(data.subarray(0, 4))) : undefined
  if (shape === undefined) return undefined
  const headBytes = 4 + 32 * shape.words
  if (data.length < headBytes || (shape.dynamic !== true && data.length !== headBytes)) return 'malformed'
  const amount = readAmount(data, shape.amount)
  if (amount === undefined) return 'malformed'
  const reaches: { role: DestinationRole; address: string }[] = []
  for (const [index, role] of shape.reaches) {
    const address = addressWord(data, index)
    if (address === undefined) return 'malformed'
    reaches.push({ role, address })
  }
  return { name: shape.name, reaches, amount }
}
