/** A daemon's engine and a cosigner's host over mutual TLS, each with its own vault and threads, in one process and with a proxy between. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ProjectId } from '../../src/domain/ids.ts'
import { walletIdFromBytes } from '../../src/domain/ids.ts'
import { systemClock } from '../../src/party/entropy.ts'
import { type PartiesOptions, PEER_SETTING } from '../../src/party/open-parties.ts'
import { partyIdOf } from '../../src/party/party-id.ts'
import type { CosignerRules } from '../../src/party/cosigner-rules.ts'
import { CosignerHost } from '../../src/party/remote/cosigner-host.ts'
import { CosignerListener, type CosignerListenerOptions } from '../../src/party/remote/cosigner-listener.ts'
import { type ChannelIdentity, loadIdentity, makeIdentity } from '../../src/party/remote/identity-files.ts'
import { TwoPartyEngine } from '../../src/party/two-party-engine.ts'
import { examine } from '../../src/payload/examine.ts'
import { encodeSigningPayload, type SigningContent, type SigningMethod } from '../../src/payload/signing-payload.ts'
import { createCosignerVault } from '../../src/vault/cosigner-vault.ts'
import { createDaemonVault, type DaemonVault } from '../../src/vault/daemon-vault.ts'
import { createRootKeyFile, createRootKeyProvider } from '../../src/vault/root-key-provider.ts'
import { putSetting } from '../../src/vault/settings.ts'
import type { Vault } from '../../src/vault/vault.ts'
import { activateShare } from '../../src/vault/wallet-shares.ts'
import { cutProxy } from './cut-proxy.ts'

const NO_PASSPHRASE = { passphrase: undefined, credentialsDirectory: undefined }

const identityIn = (dir: string, role: 'daemon' | 'cosigner', vault: Vault): ChannelIdentity => {
  makeIdentity(dir, role, vault.signer)
  return loadIdentity(dir, role) as ChannelIdentity
}

/** Two vaults that were paired; the daemon's is open, the cosigner's for a thread of its own to open. */
export const pairedVaults = async () => {
  const base = mkdtempSync(join(tmpdir(), 'countersign-remote-'))
  const keyAt = (name: string): string => {
    createRootKeyFile(join(base, name))
    return `file:${join(base, name)}`
  }
  const nowMs = Date.now()
  const rootKey = keyAt('cosigner.key')
  const path = join(base, 'cosigner.db')
  const theirs = await createCosignerVault({ path, provider: createRootKeyProvider(rootKey, NO_PASSPHRASE), nowMs })
  const provider = createRootKeyProvider(keyAt('daemon.key'), NO_PASSPHRASE)
  const vault = await createDaemonVault({ path: join(base, 'vault.db'), provider, nowMs })
  const cosigner = identityIn(base, 'cosigner', theirs)
  const daemon = identityIn(base, 'daemon', vault)
  vault.commitNow((tx) => putSetting(tx, PEER_SETTING, partyIdOf(theirs.signer.publicKey), nowMs))
  theirs.commitNow((tx) => putSetting(tx, PEER_SETTING, partyIdOf(vault.signer.publicKey), nowMs))
  await theirs.close()
  const data = { path, rootKey, ...NO_PASSPHRASE, allowExport: false, allowImport: false, pairedOnly: true }
  const close = async (): Promise<void> => {
    await vault.close()
    rmSync(base, { recursive: true, force: true })
  }
  return { base, vault, data, cosigner, daemon, close }
}

export type SceneOptions = Pick<CosignerListenerOptions, 'maxStreamMs' | 'keepMs'> & { readonly rules?: CosignerRules }

export const serveHost = async (
  { data, cosigner, daemon }: Awaited<ReturnType<typeof pairedVaults>>,
  { rules = {}, ...options }: SceneOptions = {},
) => {
  let listener: CosignerListener | undefined
  const told: string[] = []
  const host: CosignerHost = new CosignerHost({ ...data, rules }, systemClock, {
    alert: (what, detail) => void told.push(`${what}: ${detail}`),
    lost: (lost) => listener?.lost(lost),
    question: async (frame) => listener?.session?.question(frame),
    available: (isAvailable) => listener?.setAvailable(isAvailable),
  })
  const log = (what: string, detail: string): void => void told.push(`${what}: ${detail}`)
  const listen = { host: '127.0.0.1', port: 0 }
  listener = new CosignerListener({ identity: cosigner, daemon: daemon.own, listen, host, version: 'test', log, ...options })
  await host.ready()
  const served = listener
  const address = await listener.listen()
  const close = async (): Promise<void> => {
    await served.close()
    await host.stop()
  }
  return { host, listener: served, address, told, close }
}

const POOL = { lowWater: 4, highWater: 8, ttlMs: 3_600_000, capacity: 1_000, batch: 16 }

/** A daemon's engine over its open vault and a cosigner somewhere, and what callers ask of it. */
export const engineOver = async (vault: DaemonVault, cosigner: PartiesOptions['cosigner']) => {
  const availability: string[] = []
  const alerts: string[] = []
  const engine = new TwoPartyEngine({
    vault,
    clock: systemClock,
    pool: POOL,
    cryptoWorkers: 1,
    cosigner,
    onAlert: (party, what, detail) => void alerts.push(`${party} ${what}: ${detail}`),
    onAvailability: (isAvailable, why) => void availability.push(isAvailable ? 'here' : why),
    walletStopped: () => undefined,
  })
  await engine.start()

  const newWallet = async (project = 'default'): Promise<Uint8Array> => {
    const { sid, wallet } = await engine.generateWallet('secp256k1')
    const { walletId, active, linkId } = wallet
    await engine.owners.claimForProject({ walletId, project })
    await vault.commit((tx) => activateShare(tx, { share: active, linkId, state: 'ACTIVE', timeMs: Date.now() }))
    await engine.acknowledge(sid, { walletId, keyType: 'secp256k1' })
    return walletId
  }
  const signContent = async (
    walletId: Uint8Array,
    content: SigningContent,
    { method = 'SignMessage', project = 'default' }: { readonly method?: SigningMethod; readonly project?: string } = {},
  ) => {
    const { presigId } = await engine.takePresignature({ walletId, keyType: 'secp256k1' }, AbortSignal.timeout(20_000))
    const names = { projectId: project as ProjectId, walletId: walletIdFromBytes(walletId) }
    const payload = encodeSigningPayload({ ...names, method, content })
    const { digest } = examine(content)
    return engine.sign({ walletId, presigId, reqId: new Uint8Array(randomBytes(16)), digest, path: [], payload })
  }
  const sign = (walletId: Uint8Array, text = 'x') => signContent(walletId, { kind: 'message', message: Buffer.from(text) })
  return { engine, availability, alerts, newWallet, signContent, sign }
}

export const remoteScene = async (options: SceneOptions = {}) => {
  const vaults = await pairedVaults()
  let served = await serveHost(vaults, options)
  const proxy = await cutProxy(() => served.address)
  const { vault, cosigner, daemon } = vaults
  const over = await engineOver(vault, {
    address: proxy.address,
    partyId: cosigner.own.partyId,
    certificate: daemon.own.certificate,
    keyPem: daemon.keyPem,
    peerCertificate: cosigner.own.certificate,
  })
  const close = async (): Promise<void> => {
    await over.engine.stop()
    proxy.close()
    await served.close()
    await vaults.close()
  }
  return {
    ...over,
    vaults,
    proxy,
    close,
    /** The cosigner's process ends and another one begins. */
    restartHost: async (again: SceneOptions = options): Promise<void> => {
      await served.close()
      served = await serveHost(vaults, again)
    },
    get served() { return served },
  }
}

export type RemoteScene = Awaited<ReturnType<typeof remoteScene>>
