import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { ProjectId, RequestId, SessionKeyId, WalletId } from '../../src/domain/ids.ts'
import {
  dropAbandonedSessionKeys,
  findSessionKeyOfRequest,
  getSessionKey,
  insertSessionKey,
  listSessionKeys,
  type NewSessionKey,
  updateSessionKey,
} from '../../src/vault/session-keys.ts'
import { moveNonceMark, readNonceMark } from '../../src/vault/session-marks.ts'
import {
  getSessionSecret,
  KEY_SECRET,
  openSessionSecret,
  putSessionSecret,
  sealSessionSecret,
} from '../../src/vault/session-secrets.ts'
import { makeVault, NOW, openVaultAt, reasonOf, tamper } from './fixture.ts'

const newId = () => `ses_${randomBytes(16).toString('hex')}` as SessionKeyId

const newKey = (changes: Partial<NewSessionKey> = {}): NewSessionKey => ({
  sessionKeyId: newId(),
  project: 'default' as ProjectId,
  walletId: `wal_${'ab'.repeat(16)}` as WalletId,
  profile: 'hyperliquid',
  profileHash: new Uint8Array(32).fill(1),
  network: 'testnet',
  scheme: 'secp256k1',
  custody: 'daemon',
  publicKey: new Uint8Array(33).fill(2),
  address: `0x${'Ab'.repeat(20)}`,
  terms: { scopes: ['order'], extraFamilies: [], limits: { maxSize: '1' }, parameters: {}, requireSession: false },
  expireMs: NOW + 1_000,
  state: 'ACTIVE',
  grantId: undefined,
  replaces: undefined,
  retireMs: undefined,
  payload: new Uint8Array(0),
  registration: {},
  caller: 'key_0011223344556677',
  requestId: undefined,
  createMs: NOW,
  ...changes,
})

describe('a stored session key', () => {
  it('reads as it was written, and again after a start', async () => {
    const vault = await makeVault()
    const key = newKey({ requestId: '11111111-1111-4111-8111-111111111111' as RequestId })
    vault.commitNow((tx) => insertSessionKey(tx, key))
    await vault.close()
    const again = await openVaultAt(vault.place)
    expect(getSessionKey(again.read, key.sessionKeyId)).toMatchObject({ ...key, profileHash: Buffer.from(key.profileHash), publicKey: Buffer.from(key.publicKey), payload: Buffer.alloc(0) })
    expect(findSessionKeyOfRequest(again.read, key.caller, key.requestId as RequestId)?.sessionKeyId).toBe(key.sessionKeyId)
  })

  it.each([
    ['its scope', `terms = '{"extraFamilies":["withdraw"],"limits":{},"parameters":{},"requireSession":false,"scopes":["unrestricted"]}'`],
    ['its end', 'expire_ms = expire_ms + 1'],
    ['its wallet', `wallet_id = x'${'cd'.repeat(16)}'`],
    ['its project', `project = 'default', address = '0x'`],
    ['its profile', `profile = 'other'`],
    ['the end of its overlap', 'retire_ms = NULL, update_ms = update_ms + 1'],
    ['its payload', `payload = x'00'`],
  ])('is refused when %s was altered in the file', async (_name, edit) => {
    const vault = await makeVault()
    const key = newKey({ retireMs: NOW + 5 })
    vault.commitNow((tx) => insertSessionKey(tx, key))
    await vault.close()
    tamper(vault.place.path, (db) => db.exec(`UPDATE session_keys SET ${edit}`))
    const again = await openVaultAt(vault.place)
    expect(await reasonOf(() => getSessionKey(again.read, key.sessionKeyId))).toBe('VAULT_CORRUPT')
  })

  it('that was revoked does not come back by putting its old row in its place', async () => {
    const vault = await makeVault()
    const key = newKey()
    vault.commitNow((tx) => insertSessionKey(tx, key))
    const old = vault.read.one<{ revision: bigint; mac: Buffer }>('SELECT revision, mac FROM session_keys')
    vault.commitNow((tx) => updateSessionKey(tx, key.sessionKeyId, { state: 'REVOKED' }, NOW))
    await vault.close()
    tamper(vault.place.path, (db) =>
      db.prepare(`UPDATE session_keys SET state = 'ACTIVE', revision = ?, mac = ?`).run(old?.revision, old?.mac),
    )
    expect(await reasonOf(() => openVaultAt(vault.place))).toBe('VAULT_CORRUPT')
  })

  it('that no repeat comes back for is dropped at a start, with its secret; the others wait', async () => {
    const vault = await makeVault()
    const [left, waiting, late, live] = [
      newKey({ state: 'CREATING' }),
      newKey({ state: 'CREATING', requestId: '11111111-1111-4111-8111-111111111111' as RequestId }),
      newKey({ state: 'CREATING', requestId: '22222222-1111-4111-8111-111111111111' as RequestId, createMs: NOW - 86_400_001 }),
      newKey(),
    ]
    vault.commitNow((tx) => {
      for (const key of [left, waiting, late, live]) {
        insertSessionKey(tx, key)
        const place = { sessionKeyId: key.sessionKeyId, name: KEY_SECRET, kind: 'secp256k1', recordVersion: 1n } as const
        putSessionSecret(tx, sealSessionSecret(new Uint8Array(32), vault.vaultId, place, randomBytes(32)), NOW)
      }
    })
    expect(vault.commitNow((tx) => dropAbandonedSessionKeys(tx, NOW))).toBe(2)
    const found = [left, waiting, late, live].map(({ sessionKeyId }) => getSessionSecret(vault.read, sessionKeyId, KEY_SECRET) !== undefined)
    expect(found).toEqual([false, true, false, true])
    expect(listSessionKeys(vault.read, { project: live.project, limit: 10 }).map(({ sessionKeyId }) => sessionKeyId)).toEqual([live.sessionKeyId])
    await vault.close()
    await openVaultAt(vault.place)
  })
})

describe('a sealed session secret', () => {
  it('opens at its own place and nowhere else', async () => {
    const vault = await makeVault()
    const ring = vault.shareKey()
    const place = { sessionKeyId: newId(), name: KEY_SECRET, kind: 'ed25519', recordVersion: 1n } as const
    const sealed = sealSessionSecret(ring, vault.vaultId, place, Buffer.from('the secret'))
    expect(Buffer.from(openSessionSecret(ring, vault.vaultId, sealed)).toString()).toBe('the secret')
    for (const moved of [
      { ...sealed, sessionKeyId: newId() },
      { ...sealed, name: 'other' },
      { ...sealed, kind: 'hmac' as const },
      { ...sealed, recordVersion: 2n },
    ]) {
      expect(await reasonOf(() => openSessionSecret(ring, vault.vaultId, moved))).toBe('VAULT_CORRUPT')
    }
    expect(await reasonOf(() => openSessionSecret(ring, randomBytes(16), sealed))).toBe('VAULT_CORRUPT')
  })
})

describe('the mark of nonces', () => {
  it('goes up and stays, for whoever begins anew', async () => {
    const vault = await makeVault()
    const key = newKey()
    vault.commitNow((tx) => insertSessionKey(tx, key))
    const { sessionKeyId } = key
    expect(readNonceMark(vault.read, sessionKeyId)).toBeUndefined()
    for (const high of [5n, 9n, 7n]) vault.commitNow((tx) => moveNonceMark(tx, sessionKeyId, high, false))
    expect(readNonceMark(vault.read, sessionKeyId)).toBe(9n)
    vault.commitNow((tx) => moveNonceMark(tx, sessionKeyId, 2n, true))
    expect(readNonceMark(vault.read, sessionKeyId)).toBe(2n)
    await vault.close()
    expect(readNonceMark((await openVaultAt(vault.place)).read, sessionKeyId)).toBe(2n)
  })
})
