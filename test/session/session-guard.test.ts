/** `require_session` over a wallet's whole history of session keys. */
import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { SessionKeyId } from '../../src/domain/ids.ts'
import { builtInProfiles } from '../../src/payload/profile/built-in-profiles.ts'
import { describeMessage } from '../../src/payload/examine.ts'
import type { SigningFacts } from '../../src/payload/facts.ts'
import { prepareKey } from '../../src/session/prepared-key.ts'
import { sessionGuard } from '../../src/session/session-guard.ts'
import { toStoredTerms } from '../../src/session/terms.ts'
import { DEFAULT_PROJECT } from '../../src/vault/projects.ts'
import { getSessionKey, insertSessionKey } from '../../src/vault/session-keys.ts'
import { insertWallet, type Wallet } from '../../src/vault/wallets.ts'
import { makeVault, newWallet, NOW, reasonOf } from '../vault/fixture.ts'

const idOf = (n: number) => `ses_${createHash('sha256').update(String(n)).digest('hex').slice(0, 32)}` as SessionKeyId

const keyOf = (wallet: Wallet, n: number, changes: { readonly expireMs?: number; readonly requireSession?: boolean }) => ({
  sessionKeyId: idOf(n),
  project: DEFAULT_PROJECT,
  walletId: wallet.walletId,
  profile: 'hyperliquid',
  profileHash: new Uint8Array(32),
  network: 'testnet',
  scheme: 'secp256k1' as const,
  custody: 'daemon' as const,
  publicKey: new Uint8Array(33).fill(2),
  address: `0x${'11'.repeat(20)}`,
  terms: toStoredTerms({
    scopes: ['order'],
    extraFamilies: [],
    limits: {},
    parameters: {},
    requireSession: changes.requireSession ?? false,
  }),
  expireMs: changes.expireMs ?? NOW + 1_000_000,
  state: 'ACTIVE' as const,
  grantId: undefined,
  replaces: undefined,
  retireMs: undefined,
  payload: new Uint8Array(0),
  registration: {},
  caller: 'key_test',
  requestId: undefined,
  createMs: NOW,
})

const AGENT = { operation: 'typed-data', typedData: { primaryType: 'Agent', domainName: 'Exchange' } } as unknown as SigningFacts

describe('a venue whose requests a signed text sends', () => {
  it.each([
    ['derive', 'SESSION_REQUIRED'],
    ['hyperliquid', 'signed'],
  ])('%s: a message is %s', async (profile, outcome) => {
    const vault = await makeVault()
    const wallet = await vault.commit((tx) => {
      const made = insertWallet(tx, newWallet())
      insertSessionKey(tx, { ...keyOf(made, 0, { requireSession: true }), profile })
      return made
    })
    const message = describeMessage(Buffer.from('1780000000000'))
    const ask = () => sessionGuard(builtInProfiles, () => NOW)(vault.read, wallet, message)
    if (outcome === 'signed') ask()
    else expect(await reasonOf(ask)).toBe(outcome)
  })
})

describe('a wallet with a key that asks for it', () => {
  it.each([
    ['ended', NOW - 1],
    ['living', NOW + 1_000_000],
  ])('leaves actions to it however many %s keys came before it', async (_name, expireMs) => {
    const vault = await makeVault()
    const wallet = await vault.commit((tx) => {
      const made = insertWallet(tx, newWallet())
      for (let n = 0; n < 300; n++) insertSessionKey(tx, keyOf(made, n, { expireMs }))
      return made
    })
    const guard = sessionGuard(builtInProfiles, () => NOW)
    guard(vault.read, wallet, AGENT)
    await vault.commit((tx) => insertSessionKey(tx, keyOf(wallet, 300, { requireSession: true })))
    expect(await reasonOf(() => guard(vault.read, wallet, AGENT))).toBe('SESSION_REQUIRED')
    const later = sessionGuard(builtInProfiles, () => NOW + 1_000_001)
    later(vault.read, wallet, AGENT)
  })
})

it('a key of another version of its profile signs nothing', async () => {
  const vault = await makeVault()
  await vault.commit((tx) => insertSessionKey(tx, keyOf(insertWallet(tx, newWallet()), 0, {})))
  const key = getSessionKey(vault.read, idOf(0))!
  expect(await reasonOf(() => prepareKey({ profiles: builtInProfiles }, vault.read, key))).toBe('PROFILE_CHANGED')
})
