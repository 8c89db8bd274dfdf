/**
 * The embedded cosigner: party S in a thread of its own, with its own vault file under its own root key. It serves
 * protocol frames to party C over one port and a few administrative calls to the main thread over another.
 */
import { statSync } from 'node:fs'
import type { MessagePort } from 'node:worker_threads'
import { assert, failure } from '../domain/failure.ts'
import { type AuditHead, auditHead } from '../vault/audit-chain.ts'
import { type CosignerVault, createCosignerVault, openCosignerVault } from '../vault/cosigner-vault.ts'
import { getPeerHead, raisePeerHead, rememberPeerHead } from '../vault/peer-heads.ts'
import { requireUnsealed } from '../vault/restore-state.ts'
import { createRootKeyProvider } from '../vault/root-key-provider.ts'
import { getSetting, putSetting } from '../vault/settings.ts'
import { getShare, listRefreshedShares, setShareState } from '../vault/wallet-shares.ts'
import { keepCurveBlinded } from './blind-curve.ts'
import { createCosignerCustody, type CustodyData } from './cosigner-custody.ts'
import { createFreezeCalls, listAllFreezes } from './cosigner-freezes.ts'
import { CosignerLinks, type LostMaterial } from './cosigner-links.ts'
import type { CosignerRules } from './cosigner-rules.ts'
import { createCosignerStore } from './cosigner-store.ts'
import { createEntropy, systemClock } from './entropy.ts'
import type { PeerEpochs } from './epoch-check.ts'
import { ForkDesk, type ForkOrder } from './fork-desk.ts'
import { vouchedImportKey } from './import-key-voucher.ts'
import { ImportKeys } from './import-keys.ts'
import { ownerWord } from './owner-word.ts'
import { OwnerDesk, type ProjectClaim, type SecretOrder, type WalletClaim } from './owner-desk.ts'
import { partyIdOf } from './party-id.ts'
import { openPortEnd, type PortEnd } from './port-calls.ts'
import { hexOf } from './presignature-map.ts'
import { ShareSeal } from './share-sealing.ts'

export type CosignerWorkerData = CustodyData & {
  readonly path: string
  readonly passphrase: Uint8Array | undefined
  readonly create: boolean
  readonly frames: MessagePort
  /** Whether this party hands its shares over at all. */
  readonly allowExport: boolean
  /** Whether this party makes shares for delegates; absent: it does. */
  readonly allowDelegation?: boolean
  /** Whether this party takes halves of other keys in. */
  readonly allowImport: boolean
  readonly rules: CosignerRules
  /** Only a daemon that its operator paired it with: the first that comes is not taken at its word. */
  readonly pairedOnly?: boolean
}

/** What the main thread serves to the cosigner. */
export type CosignerEvents = {
  readonly alert: (args: { readonly what: string; readonly detail: string }) => void
  readonly lost: (args: LostMaterial) => void
  /** Of one on another host: the stream to it broke. What both made is kept, and calls are refused meanwhile. */
  readonly away: (args: { readonly why: string }) => void
  readonly back: () => void
  /** What a round trip to it takes at least, lately. */
  readonly distance: (args: { readonly ms: number }) => void
}

export type CosignerStatus = {
  readonly links: readonly {
    readonly shard: number
    readonly state: 'ACTIVE' | 'SUSPENDED' | 'BURNED'
    readonly lEpoch: number
    readonly relinkGrant: number
    readonly presignatures: number
  }[]
  readonly head: AuditHead
}

/** What party C serves to the cosigner over the frames port. */
export type QuestionCalls = { readonly question: (frame: Uint8Array) => Promise<Uint8Array | undefined> }
export type FrameCalls = { readonly frame: (frame: Uint8Array) => Promise<Uint8Array | undefined> }

const PEER_SETTING = 'peer_id'

/** Everything the thread holds; made by `open`. */
export const createCosigner = async (data: CosignerWorkerData, main: PortEnd<CosignerEvents>, ended: () => void) => {
  const clock = systemClock
  const provider = createRootKeyProvider(data.rootKey, {
    passphrase: data.passphrase,
    credentialsDirectory: data.credentialsDirectory,
  })
  const options = { path: data.path, provider, nowMs: Math.trunc(clock.nowMs()) }
  const vault: CosignerVault = await (data.create ? createCosignerVault(options) : openCosignerVault(options))
  data.passphrase?.fill(0)
  // A stop between a refresh and the overwriting of the old share's pages left that undone.
  vault.eraseDeleted()
  const inode = statSync(data.path).ino
  const ownId = partyIdOf(vault.signer.publicKey)
  const seal = new ShareSeal(vault.shareKey(), vault.vaultId)
  const alert = (what: string, detail: string): void => {
    void main.call('alert', { what, detail }).catch(() => undefined)
  }
  const { allowExport, allowImport } = data
  const desk = new OwnerDesk({ vault, clock, partyId: ownId, allowExport, allowImport, alert })
  const store = createCosignerStore(vault, seal, clock, desk, data.rules)
  const { loadWallet } = store
  const forks = new ForkDesk({ vault, clock, partyId: ownId, isOff: data.allowDelegation === false, loadWallet, alert })
  const entropy = createEntropy(clock)
  const importKeys = new ImportKeys(entropy, clock)
  keepCurveBlinded(entropy)
  let links: CosignerLinks | undefined
  let peerId: Uint8Array | undefined

  /** The file that this thread writes is still the one that lies there: a vault put aside must not keep signing. */
  const assertInPlace = (): void => {
    let found: number | undefined
    try {
      found = statSync(data.path).ino
    } catch {
      found = undefined
    }
    if (found !== inode) throw failure('COSIGNER_UNAVAILABLE', { why: 'its vault file was removed or replaced' })
  }

  const requirePeer = (idC: Uint8Array): void => {
    const known = getSetting(vault.read, PEER_SETTING)?.value
    if (known === undefined && data.pairedOnly === true) {
      throw failure('COSIGNER_UNAVAILABLE', { why: 'it was paired with no daemon: countersign cosigner pair' })
    }
    if (known === undefined) vault.commitNow((tx) => putSetting(tx, PEER_SETTING, idC, Math.trunc(clock.nowMs())))
    else if (hexOf(known) !== hexOf(idC)) throw failure('COSIGNER_UNAVAILABLE', { why: 'it is paired with another daemon' })
  }

  const calls = {
    ...createCosignerCustody(vault, seal, data),
    /** Refuses with RESTORE_UNACKNOWLEDGED: nothing else is answered before. */
    open: () => {
      requireUnsealed(vault.read)
      return { ownId, publicKey: vault.signer.publicKey, head: auditHead(vault.read) }
    },
    /** Serves one daemon. The first is remembered; another is refused. */
    pair: async ({ idC, shards }: { readonly idC: Uint8Array; readonly shards: readonly number[] }) => {
      requirePeer(idC)
      peerId = idC
      forks.joined(idC)
      const ask = (question: Uint8Array) => frames.call('question', question, { timeoutMs: 10_000 })
      const lost = (args: LostMaterial): void => void main.call('lost', args).catch(() => undefined)
      links = await CosignerLinks.open({ store, entropy, clock, alert, ask, lost, importKeys, forks }, idC, ownId, shards)
      const frames: PortEnd<QuestionCalls> = openPortEnd(data.frames, { frame }, (error) => alert('internal', String(error)))
      return { head: getPeerHead(vault.read, idC) }
    },
    rememberHead: async ({ head, exact }: { readonly head: AuditHead; readonly exact: boolean }) => {
      const id = peerId
      assert(id, 'paired')
      assertInPlace()
      const remember = exact ? rememberPeerHead : raisePeerHead
      await vault.commit((tx) => remember(tx, id, head, clock.nowMs()))
      return auditHead(vault.read)
    },
    status: (): CosignerStatus => {
      assertInPlace()
      assert(links, 'paired')
      return { links: links.status(), head: auditHead(vault.read) }
    },
    /** The daemon's side of a link has lost its material. */
    lose: (args: LostMaterial) => links?.lose(args),
    ...createFreezeCalls(vault),
    /** What its operator may want to see. */
    standing: ({ limit }: { readonly limit: number }) => ({
      freezes: listAllFreezes(vault.read, limit),
      head: auditHead(vault.read),
      links: links?.status() ?? [],
      counts: store.counts(),
    }),
    /** What halves of imported keys are sealed to, vouched for by this party's identity. */
    importKey: () => vouchedImportKey(importKeys, vault),
    /** Whose a wallet is that is being made. */
    claimWallet: (claim: WalletClaim) => desk.claimWallet(claim),
    /** Which project a wallet is of that is being made for itself. */
    claimForProject: (claim: ProjectClaim) => desk.claimForProject(claim),
    /** The word of this party on whose a wallet is. */
    ownerWord: ({ walletId }: { readonly walletId: Uint8Array }) => ownerWord(vault, seal, walletId),
    /** Allows a share of a wallet for a delegate. Refuses with DELEGATION_REFUSED. */
    permitFork: (order: ForkOrder) => forks.permit(order),
    /** A change of a user's register of wallet secrets, which the user has signed. */
    changeSecret: (order: SecretOrder) => desk.changeSecret(order),
    /** The wallet signs nothing here from now on. */
    stopWallet: async ({ walletId }: { readonly walletId: Uint8Array }) => {
      links?.wipeWallet(walletId)
      await vault.commit((tx) => setShareState(tx, walletId, 'REVOKED', clock.nowMs()))
      // What read the wallet as ACTIVE while that was being written forgets it again.
      links?.wipeWallet(walletId)
    },
    /** A presignature that was handed out and will not be used. */
    discard: (presigId: Uint8Array) => links?.discard(presigId),
    /** A key generation that the daemon gave up, after its own record is gone: this side's never comes to be. */
    abandonWallet: ({ walletId }: { readonly walletId: Uint8Array }) => store.abandonPending(walletId),
    /** The epochs of wallets that were refreshed, after C was asked about what is not decided. */
    shareEpochs: async (): Promise<PeerEpochs> => {
      await links?.settled()
      const undecided = (await store.pendingWallets()).map(({ walletId }) => walletId)
      return { refreshed: listRefreshedShares(vault.read), undecided }
    },
    /** These are of another epoch than the daemon's: nothing is signed with them. */
    quarantine: async ({ walletIds }: { readonly walletIds: readonly Uint8Array[] }) => {
      for (const walletId of walletIds) {
        links?.wipeWallet(walletId)
        const state = getShare(vault.read, walletId)?.state
        if (state === 'ACTIVE') await store.setWalletState(walletId, 'QUARANTINED', 'of another epoch than the daemon')
        links?.wipeWallet(walletId)
      }
    },
    dropPresignatures: ({ walletId }: { readonly walletId: Uint8Array | undefined }) => {
      if (walletId === undefined) links?.wipeSessions()
      else links?.wipeWallet(walletId)
    },
    stop: async () => {
      await links?.close()
      importKeys.wipe()
      seal.close()
      await vault.close()
      setImmediate(() => {
        data.frames.close()
        ended()
      })
    },
  }

  const frame = async (bytes: Uint8Array): Promise<Uint8Array | undefined> => {
    assertInPlace()
    return links?.answer(bytes)
  }
  return calls
}

export type CosignerCalls = Awaited<ReturnType<typeof createCosigner>>
