/**
 * A refresh between party C as its thread runs it and party S, each over its own vault on disk: the order that decides,
 * what a refused or lost transaction leaves, and what the files still hold.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { MessageChannel } from 'node:worker_threads'
import { afterEach, describe, expect, it } from 'vitest'
import { failure } from '../../src/domain/failure.ts'
import { walletIdFromBytes } from '../../src/domain/ids.ts'
import { makeLinkParties } from '../../src/engine/dkls23/contexts.ts'
import { FRAME_TYPES } from '../../src/engine/dkls23/frame.ts'
import { ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { createCosignerStore } from '../../src/party/cosigner-store.ts'
import { createEntropy, systemClock } from '../../src/party/entropy.ts'
import { stopDivergentWallets } from '../../src/party/epoch-check.ts'
import type { BackupManifest } from '../../src/vault/backup-manifest.ts'
import { sealRestored } from '../../src/vault/restore-state.ts'
import { Link, newLinkRecord } from '../../src/party/link.ts'
import { openPortEnd, type PortEnd } from '../../src/party/port-calls.ts'
import { hexOf } from '../../src/party/presignature-map.ts'
import { RefreshOrders, type RefreshOrder } from '../../src/party/refresh-orders.ts'
import { encodeSigningPayload } from '../../src/payload/signing-payload.ts'
import { Responder } from '../../src/party/responder.ts'
import { ShareSeal } from '../../src/party/share-sealing.ts'
import type { QuestionCalls } from '../../src/party/cosigner.ts'
import { createSigner, type SignerHostCalls } from '../../src/party/signer.ts'
import { createSignerHost } from '../../src/party/signer-host.ts'
import { appendAudit, auditHead, listAudit } from '../../src/vault/audit-chain.ts'
import { addFreeze, removeFreeze } from '../../src/vault/freezes.ts'
import { DEFAULT_PROJECT } from '../../src/vault/projects.ts'
import { activateShare, getShare, listRefreshedShares, setShareState } from '../../src/vault/wallet-shares.ts'
import { makeCosignerVault, makePlace, makeVault } from '../vault/fixture.ts'
import { typeOf } from './mutator.ts'
import { sha256 } from './two-parties.ts'

const ports: { close: () => void }[] = []
afterEach(() => {
  for (const port of ports.splice(0)) port.close()
})
const alerts: string[] = []
const alert = (what: string, detail: string): void => void alerts.push(`${what}: ${detail}`)
const onBug = (error: unknown): void => alert('bug', String(error))

type Wire = { toS: (frame: Uint8Array) => Uint8Array; toC: (frame: Uint8Array | undefined) => Uint8Array | undefined }

const joined = async () => {
  const vault = await makeVault()
  const cosigner = await makeCosignerVault({ ...makePlace() })
  const [idC, idS] = [sha256(vault.vaultId), sha256(cosigner.vaultId)]
  const parties = makeLinkParties(idC, idS, 0)
  const orders = new RefreshOrders()
  const wire: Wire = { toS: (frame) => frame, toC: (frame) => frame }
  const [frames, calls] = [new MessageChannel(), new MessageChannel()]
  ports.push(frames.port1, calls.port1)
  const store = createCosignerStore(cosigner, new ShareSeal(cosigner.shareKey(), cosigner.vaultId), systemClock)
  const record = newLinkRecord(parties, ROLE_S, BigInt(systemClock.nowMs()))
  await store.saveLinks([record])
  const link = new Link(parties, record, store, systemClock, { alert, wipeSessions: () => undefined })
  const newResponder = (): Responder =>
    new Responder({
      link,
      store: createCosignerStore(cosigner, new ShareSeal(cosigner.shareKey(), cosigner.vaultId), systemClock),
      entropy: createEntropy(systemClock),
      clock: systemClock,
      incarnationId: new Uint8Array(randomBytes(16)),
      readPayload: (payload) => ({ digest: sha256(payload), summary: '' }),
      readEdPayload: (payload) => ({ message: payload.slice(), summary: '' }),
      ask: (question) => questions.call('question', question),
      alert,
    })
  const party = { s: newResponder() }
  const frame = async (bytes: Uint8Array) => wire.toC(await party.s.answer(wire.toS(bytes)))
  const questions: PortEnd<QuestionCalls> = openPortEnd(frames.port2, { frame }, onBug)
  const host = createSignerHost(vault, systemClock, orders, {
    alert,
    wiped: () => undefined,
    walletWiped: () => undefined,
    lost: async () => {},
    walletStopped: () => undefined,
  })
  openPortEnd(calls.port2, host, onBug)
  const data = { idC, idS, shards: [0], configured: 1, shareKey: vault.shareKey(), vaultId: vault.vaultId, frames: frames.port1 }
  const signer = await createSigner(data, openPortEnd<SignerHostCalls>(calls.port1, {}, onBug), () => undefined)
  await signer.connect()
  const { sid, wallet } = await signer.generate({ keyType: 'ed25519' })
  await vault.commit((tx) =>
    activateShare(tx, { share: wallet.active, linkId: wallet.linkId, state: 'ACTIVE', timeMs: 0 }),
  )
  await signer.acknowledge(sid)
  const { walletId } = wallet
  const refresh = (order: RefreshOrder): Promise<void> =>
    orders.during(walletId, order, async () => void (await signer.refresh({ shard: 0, walletId })))
  const sign = async (): Promise<void> => {
    const [ready] = await signer.presignEd25519({ shard: 0, walletIds: [walletId] })
    if (ready === undefined) throw new Error('no presignature')
    const content = { kind: 'message', message: Buffer.from('x') } as const
    const id = walletIdFromBytes(walletId)
    const message = encodeSigningPayload({ projectId: DEFAULT_PROJECT, walletId: id, method: 'SignMessage', content })
    await signer.signEd25519({ ...ready, reqId: randomBytes(16), message, payload: message })
  }
  const epochs = () =>
    [vault, cosigner].map(({ read }) => {
      const pending = getShare(read, walletId, 'pending')
      return `${getShare(read, walletId)?.wEpoch}${pending === undefined ? '' : '+'}`
    })
  return { vault, cosigner, orders, wire, party, newResponder, signer, walletId, refresh, sign, epochs }
}

/** Writes the row that the use case would. */
const writing = (seen: number[] = []): RefreshOrder => ({
  record: (tx, shareEpoch) => {
    seen.push(shareEpoch)
    appendAudit(tx, { timeMs: 0, kind: 'wallet.refreshed', actor: { kind: 'api_key', id: 'key' } })
  },
})
const reasonOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: Error & { reason?: string }) => error.reason ?? error.message,
  )

describe('a refresh over two vaults', () => {
  it('is one row in each chain, and overwrites the old record in both files', async () => {
    const { vault, cosigner, walletId, refresh, sign, epochs } = await joined()
    const old = [vault, cosigner].map(({ read }) => {
      const share = getShare(read, walletId)
      return [share?.ciphertext, share?.wrappedKey, share?.nonce].map((cell) => Buffer.from(cell ?? []))
    })
    const held = (): number[] =>
      [vault, cosigner].map(({ path }, i) => {
        const files = [path, `${path}-wal`].flatMap((file) => (existsSync(file) ? [readFileSync(file)] : []))
        return (old[i] ?? []).filter((cell) => Buffer.concat(files).includes(cell)).length
      })
    expect(held()).toEqual([3, 3])
    const seen: number[] = []
    for (let epoch = 1; epoch <= 2; epoch++) await refresh(writing(seen))
    expect(seen).toEqual([1, 2])
    expect(epochs()).toEqual(['2', '2'])
    for (const { read } of [vault, cosigner]) {
      expect(listAudit(read, 0n, 10, { kind: 'wallet.refreshed' })).toHaveLength(2)
    }
    vault.eraseDeleted()
    expect(held()).toEqual([0, 0])
    await sign()
  })

  it('is nothing when the order refuses, when there is none, or when it is over', async () => {
    const { vault, signer, walletId, refresh, sign, epochs, orders } = await joined()
    const refusing: RefreshOrder = {
      record: () => {
        throw failure('FROZEN', { scope: 'wallet', id: 'x' })
      },
    }
    expect(await reasonOf(refresh(refusing))).toBe('FROZEN')
    expect(await reasonOf(signer.refresh({ shard: 0, walletId }))).toBe('COSIGNER_REFUSED')
    let late: Promise<unknown> | undefined
    await orders.during(walletId, writing(), async () => void (late = signer.refresh({ shard: 0, walletId })))
    expect(await reasonOf(late ?? Promise.resolve())).toBe('COSIGNER_REFUSED')
    // S was told ABORTED each time.
    expect(epochs()).toEqual(['0', '0'])
    expect(listAudit(vault.read, 0n, 10, { kind: 'wallet.refreshed' })).toEqual([])
    await sign()
    await refresh(writing())
    expect(epochs()).toEqual(['1', '1'])
  })

  it('is nothing once its outcome was answered ABORTED, or when the wallet was stopped meanwhile', async () => {
    const { vault, orders, walletId, refresh, epochs, wire, cosigner } = await joined()
    const stored = getShare(vault.read, walletId)
    if (stored === undefined) throw new Error('no share')
    const sid = randomBytes(32)
    const decided = { sid, linkId: stored.linkId, shares: [{ ...stored, wEpoch: 1, recordVersion: stored.recordVersion + 1n }] }
    const aborted = orders.during(walletId, writing(), async () => {
      orders.abort(walletId, sid)
      await orders.commit(vault, decided, 0)
    })
    expect(await reasonOf(aborted)).toBe('COSIGNER_REFUSED')
    wire.toC = (frame) => {
      if (frame !== undefined && typeOf(frame) === FRAME_TYPES.F4) vault.commitNow((tx) => setShareState(tx, walletId, 'SUSPENDED', 0))
      return frame
    }
    expect(await reasonOf(refresh(writing()))).toBe('COSIGNER_REFUSED')
    expect(epochs()).toEqual(['0', '0'])
    vault.commitNow((tx) => setShareState(tx, walletId, 'ACTIVE', 0))
    // At S: what stopped it there stays, whatever the new record says.
    wire.toC = (frame) => frame
    wire.toS = (frame) => {
      if (typeOf(frame) === FRAME_TYPES.F5) cosigner.commitNow((tx) => setShareState(tx, walletId, 'REVOKED', 0))
      return frame
    }
    await refresh(writing())
    expect(epochs()).toEqual(['1', '1'])
    expect(getShare(cosigner.read, walletId)?.state).toBe('REVOKED')
  })

  it('is made when the answer of the deciding transaction is lost on its way', async () => {
    const { vault, refresh, sign, epochs } = await joined()
    const { commit } = vault
    let isLost = false
    Object.assign(vault, {
      commit: async (work: Parameters<typeof commit>[0]) => {
        const value = await commit(work)
        if (getRefreshed() && !isLost) {
          isLost = true
          throw new Error('the answer was lost')
        }
        return value
      },
    })
    const getRefreshed = (): boolean => listAudit(vault.read, 0n, 1, { kind: 'wallet.refreshed' }).length > 0
    await refresh(writing())
    expect(isLost).toBe(true)
    expect(epochs()).toEqual(['1', '1'])
    await sign()
  })

  it('is nothing when the disk refuses the deciding transaction: S holds on until it has asked', async () => {
    const { vault, refresh, sign, epochs, party, newResponder, signer } = await joined()
    const { commit } = vault
    Object.assign(vault, { commit: () => Promise.reject(failure('AUDIT_UNAVAILABLE', {})) })
    expect(await reasonOf(refresh(writing()))).toBe('AUDIT_UNAVAILABLE')
    // What is durable could not be read, so S was told nothing.
    expect(epochs()).toEqual(['0', '0+'])
    Object.assign(vault, { commit })
    party.s = newResponder()
    await signer.connect()
    await party.s.settled()
    expect(epochs()).toEqual(['0', '0'])
    await sign()
  })

  it('F5 lost and S starts anew: it asks, and has the new record', async () => {
    const { refresh, sign, epochs, party, newResponder, signer, wire, cosigner, walletId } = await joined()
    wire.toS = (frame) => {
      if (typeOf(frame) === FRAME_TYPES.F5) throw new Error('lost')
      return frame
    }
    await refresh(writing())
    expect(epochs()).toEqual(['1', '0+'])
    wire.toS = (frame) => frame
    party.s = newResponder()
    await signer.connect()
    await party.s.settled()
    expect(epochs()).toEqual(['1', '1'])
    expect(getShare(cosigner.read, walletId)?.state).toBe('ACTIVE')
    await sign()
  })

  it('the cosigner’s own freezes hold a refresh back before and while it is made', async () => {
    const { refresh, epochs, cosigner, walletId, wire } = await joined()
    const subject = { scope: 'wallet', id: walletIdFromBytes(walletId) } as const
    const freeze = { ...subject, reason: 'test', actor: { kind: 'operator', id: 'x' }, createMs: 1 } as const
    cosigner.commitNow((tx) => addFreeze(tx, freeze))
    expect(await reasonOf(refresh(writing()))).toBe('COSIGNER_REFUSED')
    cosigner.commitNow((tx) => removeFreeze(tx, subject))
    wire.toS = (frame) => {
      if (typeOf(frame) === FRAME_TYPES.F3) cosigner.commitNow((tx) => addFreeze(tx, freeze))
      return frame
    }
    expect(await reasonOf(refresh(writing()))).toBe('COSIGNER_REFUSED')
    expect(epochs()).toEqual(['0', '0'])
  })
})

describe('epochs that differ when the parties are joined', () => {
  it('stop the wallet here and name it for the other side; what is equal, undecided or unknown here is let be', async () => {
    const { vault, cosigner, walletId, refresh } = await joined()
    await refresh(writing())
    const theirs = listRefreshedShares(cosigner.read)
    expect(theirs.map((one) => [hexOf(one.walletId), one.wEpoch])).toEqual([[hexOf(walletId), 1]])
    const unknown = { walletId: randomBytes(16), wEpoch: 3 }
    const check = (refreshed: typeof theirs, undecided: Uint8Array[] = []) =>
      stopDivergentWallets(vault, systemClock, { refreshed, undecided })
    expect(await check([...theirs, unknown])).toEqual([])
    expect(await check([], [walletId])).toEqual([])
    // Nor is a share on a link to somebody else.
    expect(await stopDivergentWallets(vault, systemClock, { refreshed: [], undecided: [] }, undefined, () => false)).toEqual([])
    expect(getShare(vault.read, walletId)?.state).toBe('ACTIVE')
    expect((await check([])).map(hexOf)).toEqual([hexOf(walletId)])
    expect(getShare(vault.read, walletId)?.state).toBe('QUARANTINED')
  })

  it('stop nothing where the other side claims what was never decided, unless this vault was put back to an older copy', async () => {
    const { vault, cosigner, walletId, refresh } = await joined()
    await refresh(writing())
    const ahead: string[] = []
    const claims = listRefreshedShares(cosigner.read).map((one) => ({ ...one, wEpoch: 2 }))
    const check = () =>
      stopDivergentWallets(vault, systemClock, { refreshed: claims, undecided: [] }, (id) => void ahead.push(hexOf(id)))
    expect(await check()).toEqual([])
    expect(ahead).toEqual([hexOf(walletId)])
    expect(getShare(vault.read, walletId)?.state).toBe('ACTIVE')
    vault.commitNow((tx) => {
      const { sequence: auditSequence, hash } = auditHead(tx)
      const [vaultIdHex, auditHashHex] = [hexOf(tx.vaultId), hexOf(hash)]
      const manifest = { vaultIdHex, auditHashHex, auditSequence, epoch: 1, createMs: 1, setIdHex: '00' } as BackupManifest
      sealRestored(tx, { manifest, restoreIdHex: '00'.repeat(16), nowMs: 1 })
    })
    expect((await check()).map(hexOf)).toEqual([hexOf(walletId)])
    expect(getShare(vault.read, walletId)?.state).toBe('QUARANTINED')
  })
})
