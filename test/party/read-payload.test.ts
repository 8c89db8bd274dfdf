/** What the cosigner makes of typed requests by itself, whatever the daemon says they are. */
import { describe, expect, it } from 'vitest'
import { parseProjectId, walletIdFromBytes } from '../../src/domain/ids.ts'
import { openSodium } from '../../src/engine/curve/sodium.ts'
import { openEngine } from '../../src/party/open-engine.ts'
import { readEd25519Payload, readSigningPayload } from '../../src/party/read-payload.ts'
import { encodeSigningPayload, type SigningContent, type SigningMethod } from '../../src/payload/signing-payload.ts'
import { buildMessage, createSigner, instruction, addressOf } from '../payload/solana-cases.ts'

const project = parseProjectId('default')
if (project === undefined) throw new Error('no project')
const walletId = new Uint8Array(16).fill(1)
const signer = createSigner()

const payloadOf = (method: SigningMethod, content: SigningContent, id = walletId): Uint8Array =>
  encodeSigningPayload({ projectId: project, walletId: walletIdFromBytes(id), method, content })
const read = (bytes: Uint8Array, key = signer.publicKey) => readEd25519Payload(bytes, walletId, key)

const transaction = buildMessage({
  payer: signer.address,
  instructions: [instruction(addressOf(8), [1], [[signer.address, 's']])],
})
const message = (bytes: Uint8Array): Uint8Array => payloadOf('SignMessage', { kind: 'message', message: bytes })
const solana = payloadOf('SignTransaction', { kind: 'solana-message', message: transaction })

describe('the cosigner of an Ed25519 wallet', () => {
  it('takes the message from the payload', () => {
    const bytes = Buffer.from('hello')
    expect(read(message(bytes))).toMatchObject({ message: new Uint8Array(bytes), summary: 'message of 5 bytes' })
    expect(read(solana).message).toEqual(transaction)
    expect(read(solana).summary).toContain(`Solana v0 transaction`)
  })

  it('refuses a transaction in the guise of a message, and one that other keys sign', () => {
    expect(() => read(message(transaction))).toThrow('passes for a Solana transaction')
    expect(() => read(solana, createSigner().publicKey)).toThrow('does not ask for this wallet')
  })

  it('refuses what is for another wallet, or for another kind of key', () => {
    const other = payloadOf('SignMessage', { kind: 'message', message: Buffer.from('x') }, new Uint8Array(16).fill(2))
    expect(() => read(other)).toThrow('another wallet')
    const digest = payloadOf('SignDigest', { kind: 'digest', digest: new Uint8Array(32).fill(1) })
    expect(() => read(digest)).toThrow('KEY_TYPE_ED25519')
    expect(() => readSigningPayload(solana, walletId)).toThrow('KEY_TYPE_SECP256K1')
    expect(() => read(message(Buffer.from('x')).subarray(1))).toThrow()
  })
})

describe('a thread that holds shares', () => {
  it('opens libsodium first, and serves nothing with one that does not check points', async () => {
    await expect(openEngine()).resolves.toBeUndefined()
    const lax = async (): Promise<void> => {
      await openSodium(() => Promise.reject(new Error('libsodium accepts a point with torsion')))
    }
    await expect(openEngine(lax)).rejects.toMatchObject({
      reason: 'COSIGNER_UNAVAILABLE',
      facts: { why: 'its Ed25519 library is refused: libsodium accepts a point with torsion' },
    })
  })
})
