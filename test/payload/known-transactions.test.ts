import { readFileSync } from 'node:fs'
import { recoverAddress } from 'viem'
import { describe, expect, it } from 'vitest'
import { bytesToBigint, fromHex, toHex } from '../../src/payload/bytes.ts'
import { decodeUnsignedTransaction } from '../../src/payload/decode-transaction.ts'
import { examine } from '../../src/payload/examine.ts'
import type { RlpItem } from '../../src/payload/rlp.ts'
import { decodeRlp } from '../../src/payload/rlp.ts'
import type { EvmTransaction } from '../../src/payload/transaction.ts'
import { attachSignature } from '../../src/payload/transaction.ts'
import { refusalOf } from './refusal.ts'

type Vector = { name: string; unsigned: string; digest: string; signed: string; hash: string; sender: string }

const { vectors } = JSON.parse(
  readFileSync(new URL('../vectors/evm-transactions.json', import.meta.url), 'utf8'),
) as { vectors: Vector[] }

const bytes = (hex: string) => fromHex(hex) as Uint8Array
const word = (item: RlpItem | undefined) =>
  bytes(
    `0x${toHex(item as Uint8Array)
      .slice(2)
      .padStart(64, '0')}`,
  )

/** The signature of a signed transaction, read with the RLP reader alone. */
const signatureOf = (signed: Uint8Array) => {
  const legacy = (signed[0] ?? 0) >= 0xc0
  const items = decodeRlp(legacy ? signed : signed.subarray(1)) as readonly RlpItem[]
  const [v, r, s] = items.slice(-3)
  const parity = bytesToBigint(v as Uint8Array)
  return { r: word(r), s: word(s), yParity: Number(legacy ? (parity + 1n) % 2n : parity) as 0 | 1 }
}

describe('known transactions', () => {
  it.each(vectors.map((vector) => [vector.name, vector] as const))('%s', async (_name, vector) => {
    const unsigned = bytes(vector.unsigned)
    const { digest, transaction } = examine({ kind: 'transaction', unsigned })
    expect(toHex(digest)).toBe(vector.digest)
    const signature = signatureOf(bytes(vector.signed))
    const signed = attachSignature(transaction as EvmTransaction, signature)
    expect(toHex(signed.signed)).toBe(vector.signed)
    expect(toHex(signed.hash)).toBe(vector.hash)
    const { r, s, yParity } = signature
    const hash = vector.digest as `0x${string}`
    const sender = await recoverAddress({ hash, signature: { r: toHex(r), s: toHex(s), yParity } })
    expect(sender.toLowerCase()).toBe(vector.sender.toLowerCase())
  })

  it.each(vectors.map((vector) => [vector.name, vector] as const))(
    'refuses what is signed already: %s',
    (_n, vector) => {
      expect(refusalOf(() => decodeUnsignedTransaction(bytes(vector.signed)))?.reason).toBe('TRANSACTION_INVALID')
    },
  )
})
