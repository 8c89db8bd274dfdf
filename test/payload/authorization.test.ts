import { readFileSync } from 'node:fs'
import { hashAuthorization as ethersHash } from 'ethers'
import * as fc from 'fast-check'
import { hashAuthorization as viemHash } from 'viem/utils'
import { describe, expect, it } from 'vitest'
import { evmAddressOfPublicKey } from '../../src/payload/address.ts'
import { hashAuthorization, MAX_CHAIN_ID, MAX_NONCE, parseAuthorization } from '../../src/payload/authorization.ts'
import { fromHex, toHex } from '../../src/payload/bytes.ts'
import { recoverSigner } from '../../src/payload/recover.ts'
import { privateKeyToAccount } from 'viem/accounts'
import { refusalOf } from './refusal.ts'

type Vector = {
  name: string
  chainId: string
  address: string
  nonce: string
  digest: string
  privateKey: `0x${string}`
  yParity: 0 | 1
  r: string
  s: string
}

const { vectors } = JSON.parse(
  readFileSync(new URL('../vectors/eip7702-authorizations.json', import.meta.url), 'utf8'),
) as { vectors: Vector[] }

const bytes = (hex: string) => fromHex(hex) as Uint8Array
const ADDRESS = '0x63c0c19a282a1B52b07dD5a65b58948A07DAE32B'

describe('EIP-7702 authorizations', () => {
  it.each(vectors.map((vector) => [vector.name, vector] as const))('known answer: %s', async (_name, vector) => {
    const { chainId, nonce, address, r, s, yParity } = vector
    const digest = hashAuthorization(
      parseAuthorization({ chainId: BigInt(chainId), nonce: BigInt(nonce), address }),
    )
    expect(toHex(digest)).toBe(vector.digest)
    const account = privateKeyToAccount(vector.privateKey)
    const signer = await recoverSigner(digest, { r: bytes(r), s: bytes(s), yParity })
    expect(signer && toHex(signer)).toBe(account.address.toLowerCase())
    expect(toHex(evmAddressOfPublicKey(bytes(account.publicKey)))).toBe(account.address.toLowerCase())
  })

  it('hash as viem and ethers hash them', () => {
    const chain = fc.oneof(fc.constant(0n), fc.nat().map(BigInt))
    fc.assert(
      fc.property(chain, fc.nat(), fc.uint8Array({ minLength: 20, maxLength: 20 }), (chainId, nonce, address) => {
        const digest = toHex(hashAuthorization({ chainId, nonce: BigInt(nonce), address }))
        expect(digest).toBe(viemHash({ chainId: Number(chainId), nonce, address: toHex(address) }))
        expect(digest).toBe(ethersHash({ chainId, nonce, address: toHex(address) }))
      }),
      { numRuns: 100, seed: 4 },
    )
  })

  it.each<[string, { chainId?: bigint; address?: string; nonce?: bigint }, string]>([
    ['a chain id out of range', { chainId: MAX_CHAIN_ID + 1n }, 'chain_id'],
    ['a negative chain id', { chainId: -1n }, 'chain_id'],
    ['the last nonce', { nonce: MAX_NONCE + 1n }, 'nonce'],
    ['a negative nonce', { nonce: -1n }, 'nonce'],
    ['a wrong checksum', { address: ADDRESS.replace('63c0', '63C0') }, 'address'],
    ['a short address', { address: '0x63c0' }, 'address'],
  ])('refuse %s', (_what, change, field) => {
    const fields = { chainId: 1n, nonce: 0n, address: ADDRESS, ...change }
    expect(refusalOf(() => parseAuthorization(fields))).toMatchObject({
      reason: 'AUTHORIZATION_INVALID',
      facts: { field },
    })
  })
})
