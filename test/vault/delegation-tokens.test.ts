/** A delegation token is good for one completion, of what it was issued for, until its end. */
import { expect, it } from 'vitest'
import { parseProjectId, parseUserId } from '../../src/domain/ids.ts'
import {
  burnDelegationToken,
  issueDelegationToken,
  pruneDelegationTokens,
  requireDelegationToken,
} from '../../src/vault/delegation-tokens.ts'
import { auditHead } from '../../src/vault/audit-chain.ts'
import { DEFAULT_PROJECT } from '../../src/vault/projects.ts'
import { sealRestored } from '../../src/vault/restore-state.ts'
import { makeVault, NOW, reasonOf } from './fixture.ts'

const USE = { project: DEFAULT_PROJECT, network: 'linea', addressKey: 'ab'.repeat(20), nowMs: NOW }

const issued = async () => {
  const vault = await makeVault()
  const made = await vault.commit((tx) => issueDelegationToken(tx, { ...USE, userId: parseUserId('alice')! }))
  const look = (changes: Partial<typeof USE> = {}) => requireDelegationToken(vault.read, made.token, { ...USE, ...changes })
  return { vault, ...made, look }
}

it('is good until the moment it ends, and no longer', async () => {
  const { look, expireMs } = await issued()
  expect(look({ nowMs: expireMs - 1 })).toMatchObject({ userId: 'alice' })
  expect(await reasonOf(() => look({ nowMs: expireMs }))).toBe('TOKEN_EXPIRED')
})

it('is none for another project, network or address, and none twice', async () => {
  const { vault, token, look } = await issued()
  expect(await reasonOf(() => look({ project: parseProjectId('other')! }))).toBe('TOKEN_INVALID')
  expect(await reasonOf(() => look({ network: 'ethereum' }))).toBe('TOKEN_INVALID')
  expect(await reasonOf(() => look({ addressKey: 'cd'.repeat(20) }))).toBe('TOKEN_INVALID')
  await vault.commit((tx) => burnDelegationToken(tx, token, USE))
  expect(await reasonOf(() => vault.commit((tx) => burnDelegationToken(tx, token, USE)))).toBe('TOKEN_USED')
})

it('is forgotten a day after its end, and unknown then', async () => {
  const { vault, look, expireMs } = await issued()
  const prune = (nowMs: number) => vault.commit((tx) => pruneDelegationTokens(tx, nowMs, 10))
  expect(await prune(expireMs + 86_399_999)).toBe(0)
  expect(await prune(expireMs + 86_400_000)).toBe(1)
  expect(await reasonOf(() => look())).toBe('TOKEN_INVALID')
})

it('does not come back with a backup from before it was used', async () => {
  const { vault, look } = await issued()
  const head = auditHead(vault.read)
  const manifest = {
    vaultIdHex: Buffer.from(vault.vaultId).toString('hex'), setIdHex: '00'.repeat(16), epoch: 1,
    auditSequence: head.sequence, auditHashHex: Buffer.from(head.hash).toString('hex'), createMs: NOW,
  } as Parameters<typeof sealRestored>[1]['manifest']
  await vault.commit((tx) => sealRestored(tx, { manifest, restoreIdHex: '00'.repeat(16), nowMs: NOW }))
  expect(await reasonOf(() => look())).toBe('TOKEN_INVALID')
})
