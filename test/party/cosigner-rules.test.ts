/** The cosigner's own rules: what a daemon that lies cannot get around. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ProjectId, walletIdFromBytes } from '../../src/domain/ids.ts'
import { RuleBook } from '../../src/party/cosigner-rules.ts'
import type { SigningPayload } from '../../src/payload/signing-payload.ts'
import { appendAudit } from '../../src/vault/audit-chain.ts'
import { type CosignerVault, createCosignerVault } from '../../src/vault/cosigner-vault.ts'
import { createRootKeyFile, createRootKeyProvider } from '../../src/vault/root-key-provider.ts'

let base: string
let vault: CosignerVault

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), 'countersign-rules-'))
  createRootKeyFile(join(base, 'root.key'))
  const options = { passphrase: undefined, credentialsDirectory: undefined }
  const provider = createRootKeyProvider(`file:${join(base, 'root.key')}`, options)
  vault = await createCosignerVault({ path: join(base, 'cosigner.db'), provider, nowMs: Date.now() })
})
afterAll(async () => {
  await vault.close()
  rmSync(base, { recursive: true, force: true })
})

const walletId = new Uint8Array(16).fill(7)

const typedData = (domain: object, fields: object[]): SigningPayload => ({
  projectId: 'default' as ProjectId,
  walletId: walletIdFromBytes(walletId),
  method: 'SignTypedData',
  content: {
    kind: 'typed-data' as const,
    json: Buffer.from(
      JSON.stringify({
        types: { EIP712Domain: fields, Order: [{ name: 'amount', type: 'uint256' }] },
        primaryType: 'Order',
        domain,
        message: { amount: '1' },
      }),
    ),
  },
})

const NAME = { name: 'name', type: 'string' }
const CHAIN = { name: 'chainId', type: 'uint256' }

describe('a list of operations', () => {
  const digest = { kind: 'digest', digest: new Uint8Array(32).fill(1) } as const

  it('without SignDigest lets no digest through, whatever the daemon calls it', () => {
    const book = new RuleBook({ methods: ['SignMessage'] }, vault.read, Date.now())
    const named = (method: 'SignMessage' | 'SignDigest') => ({ ...typedData({}, []), method, content: digest })
    expect(book.refusesContent(named('SignDigest'))).toBe('operation')
    expect(book.refusesContent(named('SignMessage'))).toBe('operation')
  })

  it('with SignDigest alone lets a digest through that another method carries no further than that method', () => {
    const book = new RuleBook({ methods: ['SignDigest'] }, vault.read, Date.now())
    expect(book.refusesContent({ ...typedData({}, []), method: 'SignDigest', content: digest })).toBeUndefined()
    expect(book.refusesContent({ ...typedData({}, []), method: 'SignMessage', content: digest })).toBe('operation')
  })
})

describe('a list of chains', () => {
  const book = (): RuleBook => new RuleBook({ chains: ['eip155:1'] }, vault.read, Date.now())

  it('fits typed data of a chain in it', () => {
    expect(book().refusesContent(typedData({ name: 'Venue', chainId: 1 }, [NAME, CHAIN]))).toBeUndefined()
    expect(book().refusesContent(typedData({ name: 'Venue', chainId: 10 }, [NAME, CHAIN]))).toBe('chain')
  })

  it('does not fit typed data that names none, which is good on any', () => {
    expect(book().refusesContent(typedData({ name: 'Venue' }, [NAME]))).toBe('chain')
  })
})

describe('a rate', () => {
  it('stands when the daemon fills the audit chain and comes again', async () => {
    const timeMs = Date.now()
    const actor = { kind: 'daemon', id: '' } as const
    const subject = { type: 'wallet', id: walletIdFromBytes(walletId) }
    await vault.commit((tx) => {
      appendAudit(tx, { timeMs, kind: 'sign.intent', actor, subject })
      for (let row = 0; row < 60_000; row++) appendAudit(tx, { timeMs, kind: 'freeze.added', actor })
    })
    const message = { ...typedData({}, []), method: 'SignMessage', content: { kind: 'message', message: new Uint8Array(1) } } as const
    const refusal = (rules: object, nowMs: number) =>
      new RuleBook(rules, vault.read, nowMs).refuses(message, walletId, nowMs)
    expect(refusal({ perMinute: 1 }, timeMs + 1_000)).toBe('rate')
    expect(refusal({ walletPerMinute: 1 }, timeMs + 1_000)).toBe('wallet_rate')
    expect(refusal({ perMinute: 1, walletPerMinute: 1 }, timeMs + 60_001)).toBeUndefined()
  })
})
