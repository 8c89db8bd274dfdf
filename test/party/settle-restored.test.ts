/** Two restored vaults side by side: what fits goes on, what does not is stopped, and each knows the other as it is. */
import type Database from 'better-sqlite3'
import { randomBytes } from 'node:crypto'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { isFailure } from '../../src/domain/failure.ts'
import { walletIdFromBytes } from '../../src/domain/ids.ts'
import { makeLinkParties } from '../../src/engine/dkls23/contexts.ts'
import { decodeLinkRecord, encodeLinkRecord } from '../../src/engine/dkls23/records.ts'
import { ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { newLinkRecord } from '../../src/party/link.ts'
import { partyIdOf } from '../../src/party/party-id.ts'
import { requirePair, settleRestored, settleWithPeer } from '../../src/party/settle-restored.ts'
import { auditHead, requireRememberedHead } from '../../src/vault/audit-chain.ts'
import type { BackupManifest } from '../../src/vault/backup-manifest.ts'
import { encodeManifest, parseManifest } from '../../src/vault/backup-manifest.ts'
import type { DaemonVault } from '../../src/vault/daemon-vault.ts'
import { listLinks, saveLink } from '../../src/vault/links.ts'
import { getPeerHead, rememberPeerHead } from '../../src/vault/peer-heads.ts'
import { acknowledgeRestore, findSeal, getRestoreState, requireUnsealed, sealRestored } from '../../src/vault/restore-state.ts'
import { sealShare } from '../../src/vault/sealed-record.ts'
import { putSetting } from '../../src/vault/settings.ts'
import { readHeader } from '../../src/vault/vault-header.ts'
import type { Vault } from '../../src/vault/vault.ts'
import { activateShare, getShare, nextRecordVersion, savePendingShare } from '../../src/vault/wallet-shares.ts'
import { makeCosignerVault, makeVault, NOW, openVaultAt, reasonOf, tamper } from '../vault/fixture.ts'

const makeBoth = async () => {
  const daemon = await makeVault()
  const cosigner = await makeCosignerVault()
  const idC = partyIdOf(daemon.signer.publicKey)
  const idS = partyIdOf(cosigner.signer.publicKey)
  const parties = makeLinkParties(idC, idS, 0)
  daemon.commitNow((tx) => putSetting(tx, 'peer_id', idS, NOW))
  cosigner.commitNow((tx) => putSetting(tx, 'peer_id', idC, NOW))
  daemon.commitNow((tx) => saveLink(tx, encodeLinkRecord(newLinkRecord(parties, ROLE_C, BigInt(NOW))), NOW))
  cosigner.commitNow((tx) => saveLink(tx, encodeLinkRecord(newLinkRecord(parties, ROLE_S, BigInt(NOW))), NOW))
  return { daemon, cosigner, idC, idS, linkId: parties.linkId }
}

const hold = (vault: Vault, linkId: Uint8Array, walletId: Uint8Array, wEpoch: number, slot: 'current' | 'pending'): void =>
  vault.commitNow((tx) => {
    const recordVersion = nextRecordVersion(tx, walletId)
    const place = { vaultId: vault.vaultId, walletId, wEpoch, recordVersion, header: randomBytes(45) }
    const share = sealShare(vault.shareKey(), place, randomBytes(251))
    if (slot === 'current') activateShare(tx, { share, linkId, state: 'ACTIVE', timeMs: NOW })
    else savePendingShare(tx, { share, linkId, sid: randomBytes(32), timeMs: NOW })
  })

describe('settleWithPeer', () => {
  const refusalOf = (work: () => void): string => {
    try {
      work()
      return 'nothing'
    } catch (error) {
      if (isFailure(error)) return error.reason
      throw error
    }
  }
  const at = (sequence: bigint, hash = Number(sequence)) => ({ sequence, hash: new Uint8Array(32).fill(hash) })

  it('takes each restore of the peer in once: a text of before does not make it forget what it saw since', async () => {
    const { cosigner, idC } = await makeBoth()
    const restoreId = randomBytes(16)
    const settle = (sequence: bigint, id = restoreId, hash?: number): string =>
      refusalOf(() => cosigner.commitNow((tx) => settleWithPeer(tx, idC, { restoreId: id, head: at(sequence, hash), lEpoch: 1 }, NOW)))
    cosigner.commitNow((tx) => rememberPeerHead(tx, idC, at(90n), NOW))
    expect(settle(40n)).toBe('nothing')
    expect(settle(40n)).toBe('nothing')
    cosigner.commitNow((tx) => rememberPeerHead(tx, idC, at(70n), NOW))
    expect(settle(40n)).toBe('VAULT_ROLLED_BACK')
    expect(settle(70n, restoreId, 1)).toBe('VAULT_ROLLED_BACK')
    expect(getPeerHead(cosigner.read, idC)?.sequence).toBe(70n)
    // Another restore after that, and the first text again.
    expect(settle(50n, randomBytes(16))).toBe('nothing')
    expect(settle(40n)).toBe('VAULT_ROLLED_BACK')
    expect(settle(60n)).toBe('nothing')
  })

  it('of a peer that was never restored hears nothing older', async () => {
    const { daemon, idS } = await makeBoth()
    daemon.commitNow((tx) => rememberPeerHead(tx, idS, at(70n), NOW))
    const settle = (sequence: bigint): string =>
      refusalOf(() => daemon.commitNow((tx) => settleWithPeer(tx, idS, { restoreId: new Uint8Array(16), head: at(sequence), lEpoch: 1 }, NOW)))
    expect(settle(69n)).toBe('VAULT_ROLLED_BACK')
    expect(settle(71n)).toBe('nothing')
  })
})

describe('settleRestored', () => {
  it('stops exactly the wallets whose shares do not fit, on both sides', async () => {
    const { daemon, cosigner, linkId } = await makeBoth()
    const wallets = { fit: 0, ahead: 0, decided: 0, missing: 0, behind: 0, undecided: 0, foreign: 0 }
    const ids = Object.fromEntries(Object.keys(wallets).map((name) => [name, new Uint8Array(randomBytes(16))])) as {
      [N in keyof typeof wallets]: Uint8Array
    }
    const own = (id: Uint8Array, epoch: number) => hold(daemon, linkId, id, epoch, 'current')
    const theirs = (id: Uint8Array, epoch: number) => hold(cosigner, linkId, id, epoch, 'current')
    own(ids.fit, 3)
    theirs(ids.fit, 3)
    own(ids.ahead, 1)
    theirs(ids.ahead, 0)
    own(ids.decided, 1)
    theirs(ids.decided, 0)
    hold(cosigner, linkId, ids.decided, 1, 'pending')
    own(ids.missing, 0)
    own(ids.behind, 0)
    theirs(ids.behind, 1)
    own(ids.undecided, 0)
    theirs(ids.undecided, 0)
    hold(daemon, linkId, ids.undecided, 1, 'pending')
    hold(cosigner, linkId, ids.undecided, 1, 'pending')
    theirs(ids.foreign, 0)
    const stopped = settleRestored({ daemon, cosigner }, NOW)
    const expected = [ids.ahead, ids.missing, ids.behind].map(walletIdFromBytes).toSorted()
    expect(stopped.map(({ walletId }) => walletId).toSorted()).toEqual(expected)
    for (const id of [ids.ahead, ids.behind]) {
      expect(getShare(daemon.read, id)?.state).toBe('SUSPENDED')
      expect(getShare(cosigner.read, id)?.state).toBe('SUSPENDED')
    }
    for (const id of [ids.fit, ids.decided, ids.undecided]) expect(getShare(daemon.read, id)?.state).toBe('ACTIVE')
    // The daemon decides and has forgotten; the cosigner asks, and must not have dropped what was decided.
    expect(getShare(daemon.read, ids.undecided, 'pending')).toBeUndefined()
    for (const id of [ids.undecided, ids.decided]) expect(getShare(cosigner.read, id, 'pending')).toBeDefined()
    expect(settleRestored({ daemon, cosigner }, NOW)).toEqual([])
  })

  it('leaves link epochs that were never used, and each side knowing the other as it is now', async () => {
    const { daemon, cosigner, idC, idS } = await makeBoth()
    daemon.commitNow((tx) => rememberPeerHead(tx, idS, { sequence: 999n, hash: randomBytes(32) }, NOW))
    daemon.commitNow((tx) => tx.run('DELETE FROM peer_heads'))
    settleRestored({ daemon, cosigner }, NOW)
    for (const vault of [daemon, cosigner]) {
      expect(listLinks(vault.read).map(({ control }) => decodeLinkRecord(control).lEpoch)).toEqual([1_000_000])
    }
    const remembered = getPeerHead(cosigner.read, idC)
    expect(remembered?.sequence).toBe(auditHead(daemon.read).sequence)
    requireRememberedHead(daemon.read, remembered!)
    expect(getPeerHead(daemon.read, idS)?.sequence).toBe(auditHead(cosigner.read).sequence)
  })

  it('drops grants to set a burned link up again', async () => {
    const { daemon, cosigner } = await makeBoth()
    const grants = (vault: Vault) => listLinks(vault.read).map(({ control }) => decodeLinkRecord(control).relinkGrant)
    for (const vault of [daemon, cosigner]) {
      const [link] = listLinks(vault.read)
      const burned = { ...decodeLinkRecord(link!.control), state: 'BURNED' as const, burns: 1, relinkGrant: 5 }
      vault.commitNow((tx) => saveLink(tx, encodeLinkRecord(burned), NOW))
      expect(grants(vault)).toEqual([5])
    }
    settleRestored({ daemon, cosigner }, NOW)
    for (const vault of [daemon, cosigner]) {
      expect(grants(vault)).toEqual([0])
      expect(listLinks(vault.read)[0]?.state).toBe('BURNED')
    }
  })

  it('refuses vaults of parties that do not know each other', async () => {
    const one = await makeBoth()
    const other = await makeBoth()
    requirePair(one)
    expect(await reasonOf(() => requirePair({ daemon: one.daemon, cosigner: other.cosigner }))).toBe('BACKUP_MISMATCH')
  })
})

const manifestOf = (vault: Vault): BackupManifest => {
  const head = auditHead(vault.read)
  return {
    vault: vault.kind,
    vaultIdHex: Buffer.from(vault.vaultId).toString('hex'),
    setIdHex: '00'.repeat(16),
    createMs: NOW,
    epoch: readHeader(vault.read).epoch,
    schemaVersion: vault.schemaVersion,
    auditSequence: head.sequence,
    auditHashHex: Buffer.from(head.hash).toString('hex'),
    databaseBytes: 4_096,
  }
}

describe('a seal', () => {
  const restoreIdHex = 'ab'.repeat(16)

  it('is put on with a new epoch, holds across opens, and comes off once', async () => {
    const vault = await makeVault()
    requireUnsealed(vault.read)
    expect(getRestoreState(vault.read)).toBeUndefined()
    const manifest = manifestOf(vault)
    vault.commitNow((tx) => tx.run(`INSERT INTO requests VALUES ('c', 'm', 'r', zeroblob(32), 'DONE', NULL, 1)`))
    vault.commitNow((tx) => sealRestored(tx, { manifest, restoreIdHex, nowMs: NOW }))
    expect(await reasonOf(() => requireUnsealed(vault.read))).toBe('RESTORE_UNACKNOWLEDGED')
    expect(findSeal(vault.read)).toMatchObject({ restoreIdHex, epoch: 2, backupMs: NOW })
    expect(vault.read.all('SELECT * FROM requests')).toEqual([])
    vault.commitNow((tx) => acknowledgeRestore(tx, NOW + 1))
    requireUnsealed(vault.read)
    const rows = auditHead(vault.read).sequence
    vault.commitNow((tx) => acknowledgeRestore(tx, NOW + 2))
    expect(auditHead(vault.read).sequence).toBe(rows)
    expect(getRestoreState(vault.read)).toMatchObject({ acknowledgeMs: NOW + 1 })
  })

  it('cannot be taken off or moved back by editing the row', async () => {
    const vault = await makeVault()
    const manifest = manifestOf(vault)
    vault.commitNow((tx) => sealRestored(tx, { manifest, restoreIdHex, nowMs: NOW }))
    const undone = async (sql: string): Promise<string> => {
      let reason = ''
      try {
        vault.commitNow((tx) => {
          tx.run(sql)
          requireUnsealed(tx)
        })
      } catch (error) {
        reason = (error as { reason: string }).reason
      }
      return reason
    }
    expect(await undone(`DELETE FROM settings WHERE name = 'restore'`)).toBe('VAULT_CORRUPT')
    const acknowledged = `cast(substr(value, 1, length(value) - 1) || ',"acknowledgeMs":1}' AS BLOB)`
    expect(await undone(`UPDATE settings SET value = ${acknowledged} WHERE name = 'restore'`)).toBe('VAULT_CORRUPT')
    expect(await undone('UPDATE vault_header SET epoch = 3')).toBe('VAULT_CORRUPT')
    expect(await undone('UPDATE settings SET revision = revision')).toBe('RESTORE_UNACKNOWLEDGED')
  })

  it('does not come off by the acknowledgement of another restore of the same backup, nor without its row', async () => {
    const first = await makeVault()
    await first.close()
    const place = { ...first.place, path: first.path.replace('vault.db', 'again.db') }
    copyFileSync(first.path, place.path)
    const restoreAt = async (path: string, id: string): Promise<DaemonVault> => {
      const vault = await openVaultAt({ ...place, path })
      const manifest = manifestOf(vault)
      vault.commitNow((tx) => sealRestored(tx, { manifest, restoreIdHex: id, nowMs: NOW }))
      return vault
    }
    const one = await restoreAt(first.path, restoreIdHex)
    one.commitNow((tx) => acknowledgeRestore(tx, NOW))
    const row = one.read.one<{ value: Buffer }>(`SELECT value FROM settings WHERE name = 'restore'`)!.value
    const two = await restoreAt(place.path, 'cd'.repeat(16))
    expect(two.epoch).toBe(one.epoch)
    await two.close()
    const sealed = readFileSync(place.path)
    const edits: ((db: Database.Database) => void)[] = [
      (db) => db.prepare(`UPDATE settings SET value = ? WHERE name = 'restore'`).run(row),
      (db) => db.exec(`DELETE FROM settings WHERE name = 'restore'; UPDATE vault_header SET epoch = 1`),
    ]
    for (const edit of edits) {
      writeFileSync(place.path, sealed)
      tamper(place.path, edit)
      expect(await reasonOf(() => openVaultAt(place))).toBe('VAULT_CORRUPT')
    }
    writeFileSync(place.path, sealed)
    const untouched = await openVaultAt(place)
    expect(findSeal(untouched.read)).toMatchObject({ restoreIdHex: 'cd'.repeat(16) })
  })

  it('is not put on a vault that its manifest does not describe', async () => {
    const vault = await makeVault()
    const good = manifestOf(vault)
    const wrong: Partial<BackupManifest>[] = [
      { vaultIdHex: '00'.repeat(16) },
      { epoch: 2 },
      { auditSequence: good.auditSequence + 1n },
      { auditHashHex: '00'.repeat(32) },
    ]
    for (const change of wrong) {
      const manifest = { ...good, ...change }
      const seal = () => vault.commitNow((tx) => sealRestored(tx, { manifest, restoreIdHex, nowMs: NOW }))
      expect(await reasonOf(seal), JSON.stringify(Object.keys(change))).toBe('BACKUP_CORRUPT')
    }
    requireUnsealed(vault.read)
  })

  it('has a manifest that is read only as it is written', async () => {
    const manifest = manifestOf(await makeVault())
    const [magic, line = ''] = Buffer.from(encodeManifest(manifest)).toString().split('\n')
    expect(magic).toBe('countersign backup 1')
    expect(parseManifest(line)).toEqual(manifest)
    const fields = JSON.parse(line) as Record<string, unknown>
    for (const name of Object.keys(fields)) {
      const { [name]: _gone, ...rest } = fields
      expect(await reasonOf(() => parseManifest(JSON.stringify(rest))), name).toBe('BACKUP_CORRUPT')
      const bent = JSON.stringify({ ...fields, [name]: typeof fields[name] === 'number' ? -1 : 'x' })
      expect(await reasonOf(() => parseManifest(bent)), name).toBe('BACKUP_CORRUPT')
    }
    for (const text of ['', '{', 'null', '[]', JSON.stringify({ ...fields, more: 1 })]) {
      expect(await reasonOf(() => parseManifest(text)), text).toBe('BACKUP_CORRUPT')
    }
  })
})
