import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { parseProjectId, parseRequestId, parseUserId } from '../../src/domain/ids.ts'
import type { ProjectId } from '../../src/domain/ids.ts'
import {
  authenticateApiKey,
  createApiKey,
  findApiKeyByIdentity,
  getApiKey,
  listApiKeys,
  revokeApiKey,
  rotateApiKey,
  updateApiKey,
} from '../../src/vault/api-keys.ts'
import { appendAudit, auditHead, verifyAuditChain } from '../../src/vault/audit-chain.ts'
import { addFreeze, findFreeze, listFreezes, removeFreeze, requireNotFrozen } from '../../src/vault/freezes.ts'
import type { FreezeRow } from '../../src/vault/freezes.ts'
import { getProject, insertProject, listProjects, updateProject } from '../../src/vault/projects.ts'
import { claimReply, failReply, finishReply, pruneReplies, REPLY_LIFE_MS } from '../../src/vault/replies.ts'
import {
  abandonRequest,
  claimRequest,
  finishRequest,
  interruptRequest,
  pruneRequests,
} from '../../src/vault/requests.ts'
import {
  deletePendingWallet,
  findWalletInSlot,
  findWalletsByAddress,
  findWalletsByUser,
  getWallet,
  insertWallet,
  listWallets,
  requireWallet,
  setWalletState,
} from '../../src/vault/wallets.ts'
import { event, makeCosignerVault, makeVault, newWallet, NOW, openVaultAt, reasonOf, tamper } from './fixture.ts'

const DEFAULT = parseProjectId('default')!
const OTHER = parseProjectId('other')!
const DAY_MS = 86_400_000

test('projects: made once, listed in order, changed under an etag', async () => {
  const vault = await makeVault()
  const fresh = { projectId: OTHER, name: 'Other', nowMs: NOW }
  const made = await vault.commit((tx) => insertProject(tx, fresh))
  expect(await reasonOf(() => vault.commit((tx) => insertProject(tx, fresh)))).toBe('PROJECT_ALREADY_EXISTS')
  const settings = { origins: ['https://a.example'] }
  const at = { nowMs: NOW + 1, etag: made.etag }
  const changed = await vault.commit((tx) => updateProject(tx, OTHER, { settings }, at))
  expect(changed).toMatchObject({ name: 'Other', settings, state: 'ACTIVE', updateMs: NOW + 1 })
  const stale = () => vault.commit((tx) => updateProject(tx, OTHER, { name: 'x' }, at))
  expect(await reasonOf(stale)).toBe('ETAG_MISMATCH')
  const missing = 'missing' as ProjectId
  expect(await reasonOf(() => vault.commit((tx) => updateProject(tx, missing, {}, at)))).toBe('PROJECT_NOT_FOUND')
  expect(listProjects(vault.read, undefined, 10).map(({ projectId }) => projectId)).toEqual(['default', 'other'])
  expect(listProjects(vault.read, DEFAULT, 10)).toHaveLength(1)
  expect(getProject(vault.read, missing)).toBeUndefined()
})

const newKey = (changes = {}) => ({
  project: DEFAULT,
  name: 'bot',
  permissions: [{ permission: 'wallet:sign', chains: ['1'] }],
  nowMs: NOW,
  ...changes,
})

test('an API key authenticates with its secret alone, and the secret is not in the vault', async () => {
  const vault = await makeVault()
  const { key, secret } = await vault.commit((tx) => createApiKey(tx, newKey()))
  const text = secret.reveal()
  expect(text).toMatch(/^csk_[0-9a-f]{16}_[A-Za-z0-9_-]{43}$/)
  expect(authenticateApiKey(vault.read, text, NOW)).toEqual(key)
  expect(inspect({ secret, key }, { depth: 9 })).not.toContain(text.slice(21))
  const row = vault.read.one<Record<string, unknown>>('SELECT * FROM api_keys')!
  expect(JSON.stringify(Object.values(row).map(String))).not.toContain(text.slice(21))

  const second = await vault.commit((tx) => createApiKey(tx, newKey()))
  const swapped = `csk_${second.key.keyId.slice(4)}_${text.slice(21)}`
  const last = text.at(-2) === 'A' ? 'B' : 'A'
  const wrong = [`${text.slice(0, -2)}${last}${text.at(-1)}`, swapped, '',
    `csk_0000000000000000_${text.slice(21)}`, text.slice(0, -1), `${text}A`, text.toUpperCase(), `Bearer ${text}`]
  for (const presented of wrong) {
    expect(await reasonOf(() => authenticateApiKey(vault.read, presented, NOW)), presented).toBe('API_KEY_INVALID')
  }
})

test('an expired key is told apart only with the right secret; a revoked one is just invalid', async () => {
  const vault = await makeVault()
  const { key, secret } = await vault.commit((tx) => createApiKey(tx, newKey({ expireMs: NOW + 1000 })))
  const ask = (text: string, nowMs: number) => reasonOf(() => authenticateApiKey(vault.read, text, nowMs))
  authenticateApiKey(vault.read, secret.reveal(), NOW + 999)
  expect(await ask(secret.reveal(), NOW + 1000)).toBe('API_KEY_EXPIRED')
  expect(await ask(`csk_${key.keyId.slice(4)}_${'A'.repeat(43)}`, NOW + 1000)).toBe('API_KEY_INVALID')
  await vault.commit((tx) => revokeApiKey(tx, key.keyId, { nowMs: NOW }))
  expect(await ask(secret.reveal(), NOW)).toBe('API_KEY_INVALID')
})

test('rotation replaces the secret at once or after an overlap', async () => {
  const vault = await makeVault()
  const { key, secret: first } = await vault.commit((tx) => createApiKey(tx, newKey()))
  const rotate = (overlapMs: number) =>
    vault.commit((tx) => rotateApiKey(tx, key.keyId, { nowMs: NOW, overlapMs })).then(({ secret }) => secret)
  const works = (secret: { reveal: () => string }, nowMs = NOW) => {
    try {
      return authenticateApiKey(vault.read, secret.reveal(), nowMs).keyId === key.keyId
    } catch {
      return false
    }
  }
  const second = await rotate(1000)
  expect([works(first, NOW + 999), works(first, NOW + 1000), works(second)]).toEqual([true, false, true])
  const third = await rotate(0)
  expect([works(first), works(second), works(third)]).toEqual([false, false, true])
})

test('a key belongs to an existing project; an mTLS identity to one live key', async () => {
  const vault = await makeVault()
  const create = (changes: object) => vault.commit((tx) => createApiKey(tx, newKey(changes)))
  expect(await reasonOf(() => create({ project: OTHER }))).toBe('PROJECT_NOT_FOUND')
  const mtlsIdentity = 'spiffe://example/bot'
  const { key } = await create({ mtlsIdentity })
  expect(await reasonOf(() => create({ mtlsIdentity }))).toBe('INVALID_REQUEST')
  expect(findApiKeyByIdentity(vault.read, mtlsIdentity)?.keyId).toBe(key.keyId)
  await vault.commit((tx) => revokeApiKey(tx, key.keyId, { nowMs: NOW }))
  expect(findApiKeyByIdentity(vault.read, mtlsIdentity)).toBeUndefined()
  await create({ mtlsIdentity })
  expect(listApiKeys(vault.read, { project: DEFAULT, limit: 1, after: key.number })).toHaveLength(1)
  const missing = 'key_0000000000000000' as typeof key.keyId
  expect(await reasonOf(() => vault.commit((tx) => updateApiKey(tx, missing, {}, { nowMs: NOW })))).toBe(
    'API_KEY_NOT_FOUND',
  )
  const stale = { nowMs: NOW, etag: 'r7' }
  expect(await reasonOf(() => vault.commit((tx) => updateApiKey(tx, key.keyId, {}, stale)))).toBe('ETAG_MISMATCH')
})

test('an API key row widened in the file is refused', async () => {
  const edits = [`permissions = '[{"permission":"admin"}]'`, `project = 'other'`,
    `allowed_cidrs = '["0.0.0.0/0"]'`, `expire_ms = 9999999999999`, `state = 'REVOKED'`, `mtls_identity = 'x'`,
    'revision = revision + 1']
  for (const edit of edits) {
    const vault = await makeVault()
    const { key, secret } = await vault.commit((tx) => createApiKey(tx, newKey()))
    await vault.close()
    tamper(vault.place.path, (db) => db.exec(`UPDATE api_keys SET ${edit}`))
    const again = await openVaultAt(vault.place)
    expect(await reasonOf(() => getApiKey(again.read, key.keyId)), edit).toBe('VAULT_CORRUPT')
    expect(await reasonOf(() => authenticateApiKey(again.read, secret.reveal(), NOW)), edit).toBe('VAULT_CORRUPT')
  }
})

test('a row that was verified once says what it said under its MAC, whatever is written beside it', async () => {
  const vault = await makeVault()
  const { key, secret } = await vault.commit((tx) => createApiKey(tx, newKey()))
  const wallet = await vault.commit((tx) => insertWallet(tx, newWallet()))
  expect(getApiKey(vault.read, key.keyId)).toEqual(key)
  vault.commitNow((tx) => {
    tx.run(`UPDATE api_keys SET permissions = '[{"permission":"admin"}]', secret_mac = zeroblob(32)`)
    tx.run(`UPDATE wallets SET state = 'PENDING', owner_type = 'end_user'`)
  })
  expect(getApiKey(vault.read, key.keyId)?.permissions).toEqual(key.permissions)
  expect(authenticateApiKey(vault.read, secret.reveal(), NOW).permissions).toEqual(key.permissions)
  expect(getWallet(vault.read, wallet.walletId)).toEqual(wallet)
  vault.commitNow((tx) => tx.run('UPDATE api_keys SET mac = zeroblob(32)'))
  expect(await reasonOf(() => getApiKey(vault.read, key.keyId))).toBe('VAULT_CORRUPT')
})

test('what was rolled back is not remembered', async () => {
  const vault = await makeVault()
  const { key } = await vault.commit((tx) => createApiKey(tx, newKey()))
  const wallet = await vault.commit((tx) => insertWallet(tx, newWallet()))
  const head = auditHead(vault.read)
  const undone = vault.commit((tx) => {
    revokeApiKey(tx, key.keyId, { nowMs: NOW })
    setWalletState(tx, wallet.walletId, 'ARCHIVED')
    addFreeze(tx, { scope: 'all', id: '', reason: '', actor: { kind: 'operator', id: '' }, createMs: NOW })
    expect(getApiKey(tx, key.keyId)?.state).toBe('REVOKED')
    expect(getWallet(tx, wallet.walletId)?.state).toBe('ARCHIVED')
    expect(findFreeze(tx, [{ scope: 'all', id: '' }])).toBeDefined()
    throw new Error('undone')
  })
  await expect(undone).rejects.toThrow('undone')
  expect(getApiKey(vault.read, key.keyId)).toEqual(key)
  expect(getWallet(vault.read, wallet.walletId)).toEqual(wallet)
  expect(findFreeze(vault.read, [{ scope: 'all', id: '' }])).toBeUndefined()
  const next = await vault.commit((tx) => appendAudit(tx, event()))
  expect(next.sequence).toBe(head.sequence + 1n)
  expect(await verifyAuditChain(vault.read)).toMatchObject({ intact: true })
})

test('a wallet is found by id, by address in any letter case, and by user, in its project alone', async () => {
  const vault = await makeVault()
  await vault.commit((tx) => insertProject(tx, { projectId: OTHER, name: '', nowMs: NOW }))
  const wallet = await vault.commit((tx) => insertWallet(tx, newWallet()))
  expect(requireWallet(vault.read, wallet.walletId, DEFAULT)).toEqual(wallet)
  const shouted = `0x${wallet.address.slice(2).toUpperCase()}`
  for (const address of [wallet.address, wallet.address.toLowerCase(), shouted]) {
    expect(findWalletsByAddress(vault.read, { project: DEFAULT }, address)).toEqual([wallet])
  }
  expect(findWalletsByUser(vault.read, { project: DEFAULT }, wallet.userId)).toEqual([wallet])
  expect(await reasonOf(() => requireWallet(vault.read, wallet.walletId, OTHER))).toBe('WALLET_NOT_FOUND')
  expect(findWalletsByAddress(vault.read, { project: OTHER }, wallet.address)).toEqual([])
  expect(findWalletsByUser(vault.read, { project: OTHER }, wallet.userId)).toEqual([])
})

test('a Solana address is found exactly', async () => {
  const vault = await makeVault()
  const address = '4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T'
  await vault.commit((tx) => insertWallet(tx, newWallet({ keyType: 'ed25519', address })))
  expect(findWalletsByAddress(vault.read, { project: DEFAULT }, address)).toHaveLength(1)
  expect(findWalletsByAddress(vault.read, { project: DEFAULT }, address.toLowerCase())).toHaveLength(0)
})

test('one live wallet per project, user, key type, owner type and label', async () => {
  const vault = await makeVault()
  const insert = (changes: Parameters<typeof newWallet>[0] = {}) =>
    vault.commit((tx) => insertWallet(tx, newWallet(changes)))
  const first = await insert()
  for (const state of ['PENDING', 'SUSPENDED'] as const) {
    await vault.commit((tx) => setWalletState(tx, first.walletId, state))
    await expect(insert()).rejects.toMatchObject({
      reason: 'WALLET_ALREADY_EXISTS',
      facts: { walletId: first.walletId },
    })
  }
  for (const changes of [{ label: 'b' }, { ownerType: 'end_user' as const }, { keyType: 'ed25519' as const },
    { userId: parseUserId('bob')! }]) {
    await insert(changes)
  }
  await vault.commit((tx) => setWalletState(tx, first.walletId, 'ARCHIVED'))
  const second = await insert()
  expect(findWalletInSlot(vault.read, first)?.walletId).toBe(second.walletId)
  expect(await reasonOf(() => vault.commit((tx) => setWalletState(tx, first.walletId, 'ACTIVE')))).toBe(
    'WALLET_ALREADY_EXISTS',
  )
  expect(await reasonOf(() => insert({ project: OTHER }))).toBe('PROJECT_NOT_FOUND')
})

test('of concurrent creations in one slot one wins', async () => {
  const vault = await makeVault()
  const outcomes = await Promise.all(
    Array.from({ length: 50 }, () =>
      vault.commit((tx) => insertWallet(tx, newWallet())).then(
        () => 'made',
        (error) => error.reason,
      ),
    ),
  )
  expect(outcomes.filter((outcome) => outcome === 'made')).toHaveLength(1)
  expect(outcomes.filter((outcome) => outcome === 'WALLET_ALREADY_EXISTS')).toHaveLength(49)
})

test('wallets are listed in stable pages while others are made', async () => {
  const vault = await makeVault()
  const insert = (label: string) => vault.commit((tx) => insertWallet(tx, newWallet({ label })))
  for (let n = 0; n < 7; n++) await insert(`w${n}`)
  const seen: string[] = []
  let after: bigint | undefined
  for (let round = 0; round < 4; round++) {
    const page = listWallets(vault.read, { project: DEFAULT, after, limit: 3 })
    seen.push(...page.map(({ label }) => label))
    after = page.at(-1)?.number ?? after
    if (round === 0) await insert('w7')
  }
  expect(seen).toEqual(['w0', 'w1', 'w2', 'w3', 'w4', 'w5', 'w6', 'w7'])
  expect(listWallets(vault.read, { project: DEFAULT, limit: 50, state: 'ARCHIVED' })).toEqual([])
})

test('a wallet row altered in the file is refused', async () => {
  for (const edit of [`project = 'other'`, `owner_type = 'end_user'`, `state = 'PENDING'`, `user_id = 'eve'`]) {
    const vault = await makeVault()
    const { walletId } = await vault.commit((tx) => insertWallet(tx, newWallet()))
    await vault.close()
    tamper(vault.place.path, (db) => db.exec(`UPDATE wallets SET ${edit}`))
    const again = await openVaultAt(vault.place)
    expect(await reasonOf(() => getWallet(again.read, walletId)), edit).toBe('VAULT_CORRUPT')
  }
})

test('an abandoned key generation leaves no wallet, an active wallet stays', async () => {
  const vault = await makeVault()
  const pending = await vault.commit((tx) => insertWallet(tx, newWallet({ state: 'PENDING', address: '' })))
  expect(await vault.commit((tx) => deletePendingWallet(tx, pending.walletId))).toBe(true)
  const active = await vault.commit((tx) => insertWallet(tx, newWallet()))
  expect(await vault.commit((tx) => deletePendingWallet(tx, active.walletId))).toBe(false)
})

const REQUEST = {
  caller: 'key_1',
  method: 'SignMessage',
  requestId: parseRequestId('00000000-0000-4000-8000-000000000001')!,
}
const BODY = new Uint8Array(32).fill(1)

test('a request runs once and is answered again from memory', async () => {
  const vault = await makeVault()
  const claim = (body = BODY, key = REQUEST, nowMs = NOW) =>
    vault.commit((tx) => claimRequest(tx, key, body, nowMs))
  expect(await claim()).toEqual({ kind: 'claimed' })
  expect(await claim()).toEqual({ kind: 'running' })
  expect(await reasonOf(() => claim(new Uint8Array(32)))).toBe('IDEMPOTENCY_MISMATCH')
  expect(await claim(BODY, { ...REQUEST, caller: 'key_2' })).toEqual({ kind: 'claimed' })
  expect(await claim(BODY, { ...REQUEST, method: 'SignDigest' })).toEqual({ kind: 'claimed' })
  await vault.commit((tx) => finishRequest(tx, REQUEST, new Uint8Array([7])))
  expect(await claim()).toEqual({ kind: 'done', response: Buffer.from([7]) })
  expect(await reasonOf(() => claim(new Uint8Array(32)))).toBe('IDEMPOTENCY_MISMATCH')
  expect(await claim(BODY, REQUEST, NOW + DAY_MS - 1)).toMatchObject({ kind: 'done' })
  expect(await claim(new Uint8Array(32), REQUEST, NOW + DAY_MS)).toEqual({ kind: 'claimed' })
})

test('an abandoned request starts anew, an interrupted one goes on with the same body', async () => {
  const vault = await makeVault()
  const claim = (body = BODY) => vault.commit((tx) => claimRequest(tx, REQUEST, body, NOW))
  await claim()
  await vault.commit((tx) => abandonRequest(tx, REQUEST))
  expect(await claim(new Uint8Array(32))).toEqual({ kind: 'claimed' })
  await vault.commit((tx) => interruptRequest(tx, REQUEST))
  expect(await reasonOf(() => claim())).toBe('IDEMPOTENCY_MISMATCH')
  expect(await claim(new Uint8Array(32))).toEqual({ kind: 'reclaimed' })
  await vault.close()
  const again = await openVaultAt(vault.place)
  const reclaim = await again.commit((tx) => claimRequest(tx, REQUEST, new Uint8Array(32), NOW))
  expect(reclaim).toEqual({ kind: 'reclaimed' })
})

test('of concurrent claims of one request one runs', async () => {
  const vault = await makeVault()
  const claims = await Promise.all(
    Array.from({ length: 100 }, () => vault.commit((tx) => claimRequest(tx, REQUEST, BODY, NOW))),
  )
  expect(claims.filter(({ kind }) => kind === 'claimed')).toHaveLength(1)
})

test('old requests are forgotten in bounded batches', async () => {
  const vault = await makeVault()
  for (let n = 0; n < 5; n++) {
    const key = { ...REQUEST, caller: `key_${n}` }
    await vault.commit((tx) => claimRequest(tx, key, BODY, NOW))
    if (n < 4) await vault.commit((tx) => finishRequest(tx, key, BODY))
  }
  const prune = (nowMs: number, limit: number) => vault.commit((tx) => pruneRequests(tx, nowMs, limit))
  expect(await prune(NOW + DAY_MS - 1, 10)).toBe(0)
  for (const forgotten of [3, 1, 0]) expect(await prune(NOW + DAY_MS, 3)).toBe(forgotten)
})

const freeze = (changes: Partial<FreezeRow> = {}): FreezeRow => ({
  scope: 'wallet',
  id: 'wal_1',
  reason: 'incident',
  actor: { kind: 'operator', id: 'key_1' },
  createMs: NOW,
  ...changes,
})

test('a freeze stands until it is removed', async () => {
  const vault = await makeVault()
  expect((await vault.commit((tx) => addFreeze(tx, freeze()))).added).toBe(true)
  const second = await vault.commit((tx) => addFreeze(tx, freeze({ reason: 'again' })))
  expect(second).toMatchObject({ added: false, freeze: { reason: 'incident' } })
  const subjects = [{ scope: 'project', id: 'default' } as const, { scope: 'wallet', id: 'wal_1' } as const]
  expect(findFreeze(vault.read, subjects)?.reason).toBe('incident')
  expect(await reasonOf(() => requireNotFrozen(vault.read, subjects))).toBe('FROZEN')
  requireNotFrozen(vault.read, [{ scope: 'wallet', id: 'wal_2' }, { scope: 'api_key', id: 'wal_1' }])
  await vault.commit((tx) => removeFreeze(tx, subjects[1]!))
  requireNotFrozen(vault.read, subjects)
  expect(await reasonOf(() => vault.commit((tx) => removeFreeze(tx, subjects[1]!)))).toBe('FREEZE_NOT_FOUND')
})

test('freezing everything freezes everything', async () => {
  const vault = await makeVault()
  await vault.commit((tx) => addFreeze(tx, freeze({ scope: 'all', id: '' })))
  expect(await reasonOf(() => requireNotFrozen(vault.read, []))).toBe('FROZEN')
  await vault.commit((tx) => addFreeze(tx, freeze()))
  expect(listFreezes(vault.read, undefined, 10).map(({ scope }) => scope)).toEqual(['all', 'wallet'])
  expect(listFreezes(vault.read, { scope: 'all', id: '' }, 10)).toHaveLength(1)
})

test('the cosigner answers a repeated request with the same signature for ten minutes', async () => {
  const vault = await makeCosignerVault()
  const key = { walletId: randomBytes(16), reqId: randomBytes(16), requestKey: randomBytes(32) }
  const claim = (nowMs = NOW, changed = key) => vault.commit((tx) => claimReply(tx, changed, nowMs))
  expect(await claim()).toEqual({ kind: 'claimed' })
  expect(await claim()).toEqual({ kind: 'running' })
  expect(await claim(NOW, { ...key, requestKey: randomBytes(32) })).toEqual({ kind: 'conflict' })
  await vault.commit((tx) => failReply(tx, key))
  expect(await claim()).toEqual({ kind: 'claimed' })
  const response = randomBytes(81)
  await vault.commit((tx) => finishReply(tx, key, response))
  expect(await claim(NOW + REPLY_LIFE_MS - 1)).toEqual({ kind: 'done', response })
  expect(await claim(NOW, { ...key, requestKey: randomBytes(32) })).toEqual({ kind: 'conflict' })
  expect(await vault.commit((tx) => pruneReplies(tx, NOW + REPLY_LIFE_MS - 1, 10))).toBe(0)
  expect(await vault.commit((tx) => pruneReplies(tx, NOW + REPLY_LIFE_MS, 10))).toBe(1)
  expect(await claim()).toEqual({ kind: 'claimed' })
})

test('an answer is kept sealed: its text is not in the file, and an altered or moved one does not open', async () => {
  const vault = await makeVault()
  const key = { caller: 'key_1', method: 'CreateApiKey', requestId: REQUEST.requestId }
  const secret = Buffer.from('csk_0123456789abcdef_thesecretofanapikey')
  await vault.commit((tx) => claimRequest(tx, key, BODY, NOW))
  await vault.commit((tx) => finishRequest(tx, key, secret))
  const row = vault.read.one<{ response: Buffer }>('SELECT response FROM requests WHERE method = ?', key.method)
  expect(row?.response.includes('thesecret')).toBe(false)
  const claim = await vault.commit((tx) => claimRequest(tx, key, BODY, NOW))
  expect(claim).toMatchObject({ kind: 'done' })
  expect(Buffer.from((claim as { response: Uint8Array }).response)).toEqual(secret)
  await vault.commit((tx) => tx.run('UPDATE requests SET caller = ? WHERE method = ?', 'key_2', key.method))
  await expect(vault.commit((tx) => claimRequest(tx, { ...key, caller: 'key_2' }, BODY, NOW))).rejects.toMatchObject({
    reason: 'VAULT_CORRUPT',
  })
})
