/** A daemon that delegated, and a sidecar that it delegated to: two processes with a vault each. */
import { writeFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig } from '../../src/config/load-config.ts'
import { createDataDir } from '../../src/commands/create-data-dir.ts'
import { rootKeyProviders } from '../../src/commands/root-keys.ts'
import { encodeBase58 } from '../../src/domain/base58.ts'
import { decompress } from '../../src/engine/curve/secp256k1.ts'
import { ALG_ED25519 } from '../../src/engine/dkls23/suite.ts'
import { evmAddressOfPublicKey, formatEvmAddress } from '../../src/payload/address.ts'
import { partyIdOf } from '../../src/party/party-id.ts'
import { type DaemonVault, openDaemonVault } from '../../src/vault/daemon-vault.ts'
import type { DelegatedShare } from '../../src/engine/sealing/delegated-share.ts'
import { grant, type GrantOptions, type Granted } from '../delegation/granting-scene.ts'
import { deliveryOf, receiver, sealForeign, webhookBody, uuidOf } from '../delegation/seal-delivery.ts'
import { encodeDelegatedShare } from '../../src/engine/sealing/delegated-share.ts'
import { makeDataDir, startDaemon, type TestDaemon } from './start-daemon.ts'

export const WEBHOOK_SECRET = 'dyn_secret_of_the_sidecar'

/** A data directory as `dev` makes it, and what `fill` does to its vault before anything serves it. */
export const prepareDataDir = async <T>(base: string, fill: (vault: DaemonVault) => Promise<T>): Promise<T> => {
  const { config, secrets } = loadConfig({ 'data-dir': join(base, 'data') }, { environment: {}, cwd: base })
  await createDataDir(config, secrets, 'everything').catch(() => undefined)
  const provider = rootKeyProviders(config, secrets).daemon
  const vault = await openDaemonVault({ path: join(base, 'data', 'vault.db'), provider, nowMs: Date.now() })
  try {
    return await fill(vault)
  } finally {
    await vault.close()
  }
}

const shareOf = ({ own }: Granted, idG: Uint8Array, idD: Uint8Array): DelegatedShare => ({
  alg: own.alg,
  walletId: own.walletId,
  idG,
  idD,
  linkId: own.linkId,
  publicKey: own.publicKey,
  pointG: own.pointC,
  pointD: own.pointS,
  chainCode: own.chainCode,
  share: own.share,
})

export type Delegated = {
  readonly granted: Granted
  readonly accessId: string
  readonly keyShare: string
  /** As the daemon that delegated would seal it. */
  readonly delivery: () => ReturnType<typeof deliveryOf>
  /** As it would post it. */
  readonly body: (told?: Parameters<typeof webhookBody>[2]) => Promise<Buffer>
}

export type Sidecar = {
  readonly granting: TestDaemon
  readonly sidecar: TestDaemon
  readonly delegated: readonly Delegated[]
  /** Party id of the daemon that delegated. */
  readonly grantingId: string
  readonly restartSidecar: () => Promise<TestDaemon>
  readonly restartGranting: () => Promise<void>
  readonly close: () => Promise<void>
}

/** Of the key itself: the row beside it says anything. */
export const addressOf = ({ own }: Granted): string =>
  own.alg === ALG_ED25519 ? encodeBase58(own.publicKey) : formatEvmAddress(evmAddressOfPublicKey(decompress(own.publicKey)))

const delegatedOf = (granted: Granted, share: DelegatedShare): Delegated => {
  const delivery = async () => ({
    encryptedDelegatedShare: await sealForeign(receiver.publicKey, encodeDelegatedShare(share)),
    encryptedWalletApiKey: await sealForeign(receiver.publicKey, Buffer.from(granted.apiKey)),
  })
  return {
    granted,
    accessId: uuidOf(granted.own.walletId),
    keyShare: Buffer.from(encodeDelegatedShare(share)).toString('utf8'),
    delivery,
    body: async (told) =>
      webhookBody(
        'wallet.delegation.created',
        {
          chain: granted.wallet.keyType === 'ed25519' ? 'SVM' : 'EVM',
          walletId: uuidOf(granted.own.walletId),
          publicKey: addressOf(granted),
          userId: 'alice',
          ...(await delivery()),
        },
        told,
      ),
  }
}

export type Prepared = {
  readonly bases: { readonly granting: string; readonly sidecar: string }
  readonly delegated: readonly Delegated[]
  readonly grantingId: string
}

/** Both data directories, before anything serves them. `options`: of each access that is delegated. */
export const prepareSidecar = async (options: readonly GrantOptions[]): Promise<Prepared> => {
  const bases = { granting: makeDataDir(), sidecar: makeDataDir() }
  const publicKey = await prepareDataDir(bases.sidecar, async (vault) => vault.signer.publicKey)
  const identity = { publicKey, privateKey: receiver.privateKey, idC: partyIdOf(publicKey) }
  const { idD, granted } = await prepareDataDir(bases.granting, async (vault) => {
    const all: Granted[] = []
    for (const one of options) all.push(await grant(vault, { identity, ...one }))
    return { idD: partyIdOf(vault.signer.publicKey), granted: all }
  })
  const delegated = granted.map((one) => delegatedOf(one, shareOf(one, one.identity.idC, idD)))
  return { bases, delegated, grantingId: Buffer.from(idD).toString('hex') }
}

/** A configuration file of the sidecar, whose granting daemon is at this `host:port`. Answers its path. */
export const writeSidecarConfig = ({ bases, grantingId }: Prepared, address: string): string => {
  const secretFile = join(bases.sidecar, 'webhook.secret')
  const configFile = join(bases.sidecar, 'countersign.toml')
  writeFileSync(secretFile, `${WEBHOOK_SECRET}\n`, { mode: 0o600 })
  const lines = [
    '[[granting_daemon]]',
    'name = "home"',
    `url = "http://${address}"`,
    `party_id = "${grantingId}"`,
    '[[delegation_webhook]]',
    `secret_file = "${secretFile}"`,
  ]
  writeFileSync(configFile, lines.join('\n'))
  return configFile
}

export const startSidecar = async (options: readonly GrantOptions[]): Promise<Sidecar> => {
  const prepared = await prepareSidecar(options)
  const { bases, delegated, grantingId } = prepared
  let granting = await startDaemon({ dataDir: bases.granting, keepData: true })
  const args = ['--config', writeSidecarConfig(prepared, granting.endpoints.grpc)]
  let sidecar = await startDaemon({ dataDir: bases.sidecar, keepData: true, args })
  return {
    get granting() {
      return granting
    },
    get sidecar() {
      return sidecar
    },
    delegated,
    grantingId,
    restartSidecar: async () => {
      await sidecar.kill('SIGKILL')
      sidecar = await startDaemon({ dataDir: bases.sidecar, keepData: true, args })
      return sidecar
    },
    restartGranting: async () => {
      const address = granting.endpoints.grpc
      await granting.kill('SIGKILL')
      granting = await startDaemon({ dataDir: bases.granting, keepData: true, args: ['--grpc-listen', address] })
    },
    close: async () => {
      await Promise.all([granting.kill('SIGKILL'), sidecar.kill('SIGKILL')])
      for (const base of Object.values(bases)) rmSync(base, { recursive: true, force: true })
    },
  }
}
