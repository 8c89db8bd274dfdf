/**
 * `countersign cosigner …`: what only the cosigner's operator can say about owners and their keys. It works on the
 * cosigner's vault of a stopped daemon, under the cosigner's own root key: the daemon's is not asked for.
 */
import { createPublicKey, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { dataDirPaths, loadConfig, type Flags } from '../config/load-config.ts'
import { parseProjectId, parseUserId, parseWalletId, walletIdToBytes } from '../domain/ids.ts'
import { isWalletSecret } from '../engine/sealing/owner-consent.ts'
import { isRecipient, KIND_RSA, KIND_X25519, type Recipient } from '../engine/sealing/share-envelope.ts'
import { bindSecret, digestOfKey, removeSecret } from '../party/owner-desk.ts'
import { partyIdOf } from '../party/party-id.ts'
import { exportsFromMs, SECRET_WAIT_MS } from '../party/share-consents.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import { addApproval } from '../vault/consents.ts'
import { type CosignerVault, openCosignerVault } from '../vault/cosigner-vault.ts'
import { listOwnerSecrets, type Owner } from '../vault/owner-register.ts'
import { getShare } from '../vault/wallet-shares.ts'
import { askAtTerminal, completeSecrets } from './ask-passphrase.ts'
import { formatTable } from './print-table.ts'
import { rootKeyProviders } from './root-keys.ts'
import { CommandRefusal, type Terminal, UsageRefusal } from './terminal.ts'

export const atCosigner = async <T>(flags: Flags, terminal: Terminal, work: (vault: CosignerVault) => Promise<T>): Promise<T> => {
  const { config, secrets, warnings } = loadConfig(flags)
  for (const warning of warnings) terminal.note(`warning: ${warning}`)
  const { cosigner: provider } = rootKeyProviders(config, await completeSecrets(config, secrets, askAtTerminal(false)))
  const path = dataDirPaths(config.dataDir).cosignerVault
  await using vault = await openCosignerVault({ path, provider, nowMs: Date.now() })
  return await work(vault)
}

/** What clients pin, so that no daemon can put another party in the cosigner's place. */
export const printCosignerIdentity = (flags: Flags, terminal: Terminal): Promise<void> =>
  atCosigner(flags, terminal, async ({ signer }) => {
    terminal.print(Buffer.from(partyIdOf(signer.publicKey)).toString('hex'))
  })

export type ExportKeyOptions = { readonly x25519Key?: string; readonly rsaKeyFile?: string }

const recipientOf = ({ x25519Key, rsaKeyFile }: ExportKeyOptions): Recipient => {
  if ((x25519Key === undefined) === (rsaKeyFile === undefined)) {
    throw new UsageRefusal('name one key: --x25519-key or --rsa-key-file')
  }
  const recipient: Recipient =
    x25519Key === undefined
      ? { kind: KIND_RSA, key: derOf(rsaKeyFile as string) }
      : { kind: KIND_X25519, key: new Uint8Array(Buffer.from(x25519Key, 'base64')) }
  if (isRecipient(recipient)) return recipient
  throw new UsageRefusal('the key is not an X25519 key in base64, or not an RSA key of 3072 to 4096 bits')
}

export const derOf = (path: string): Uint8Array => {
  const text = readFileSync(path)
  try {
    return new Uint8Array(createPublicKey(text).export({ format: 'der', type: 'spki' }))
  } catch {
    throw new UsageRefusal(`${path} holds no public key in PEM`)
  }
}

type Approval = {
  readonly keyDigest: Uint8Array
  /** Of the audit row. */
  readonly kind: string
  readonly details: { readonly [name: string]: string }
  readonly thenDo: string
}

/** One use of a wallet's share for one key, good once. Prints the approval's id, which the request names. */
export const approveAtCosigner = (
  { wallet, validMinutes }: { readonly wallet: string; readonly validMinutes: number },
  flags: Flags,
  terminal: Terminal,
  approvalIn: (vault: CosignerVault) => Approval,
): Promise<void> => {
  const walletId = parseWalletId(wallet)
  if (walletId === undefined) throw new UsageRefusal('--wallet takes a wallet id: wal_ and 32 hex digits')
  return atCosigner(flags, terminal, async (vault) => {
    const { keyDigest, kind, details, thenDo } = approvalIn(vault)
    const bytes = walletIdToBytes(walletId)
    if (getShare(vault.read, bytes) === undefined) throw new CommandRefusal(`the cosigner has no share of ${walletId}`)
    const approvalId = randomBytes(16)
    const timeMs = Date.now()
    const expireMs = timeMs + validMinutes * 60_000
    await vault.commit((tx) => {
      addApproval(tx, { approvalId, walletId: bytes, keyDigest, expireMs }, timeMs)
      appendAudit(tx, {
        timeMs,
        kind,
        actor: { kind: 'operator', id: '' },
        subject: { type: 'wallet', id: walletId },
        decision: 'allow',
        details: { approval: approvalId.toString('hex'), ...details, key: Buffer.from(keyDigest).toString('hex') },
      })
    })
    terminal.print(approvalId.toString('hex'))
    terminal.note(`good once, until ${new Date(expireMs).toISOString()}; start the daemon and ${thenDo} with it`)
  })
}

export type ApproveOptions = ExportKeyOptions & { readonly wallet: string; readonly validMinutes: number }

/** One export of one wallet to one key. */
export const approveExport = (options: ApproveOptions, flags: Flags, terminal: Terminal): Promise<void> => {
  const keyDigest = digestOfKey(recipientOf(options))
  return approveAtCosigner(options, flags, terminal, () => ({ keyDigest, kind: 'wallet.export_approved', details: {}, thenDo: 'export' }))
}

export type OwnerOptions = { readonly project: string; readonly user: string }
export type SecretOptions = OwnerOptions & { readonly publicKey: string }

const ownerOf = ({ project, user }: OwnerOptions): Owner => {
  const [projectId, userId] = [parseProjectId(project), parseUserId(user)]
  if (projectId === undefined || userId === undefined) throw new UsageRefusal('--project or --user is malformed')
  return { project: projectId, userId }
}

const secretOf = ({ publicKey }: SecretOptions): Uint8Array => {
  const der = new Uint8Array(Buffer.from(publicKey, 'base64'))
  if (isWalletSecret(der)) return der
  throw new UsageRefusal('--public-key takes the SubjectPublicKeyInfo of a P-256 key in base64')
}

export const bindWalletSecret = (options: SecretOptions, flags: Flags, terminal: Terminal): Promise<void> => {
  const [owner, publicKey] = [ownerOf(options), secretOf(options)]
  return atCosigner(flags, terminal, async (vault) => {
    const timeMs = Date.now()
    await vault.commit((tx) => bindSecret(tx, owner, publicKey, 'operator', timeMs))
    terminal.print(`bound; exports from ${new Date(timeMs + SECRET_WAIT_MS).toISOString()}`)
  })
}

export const removeWalletSecret = (options: SecretOptions, flags: Flags, terminal: Terminal): Promise<void> => {
  const [owner, publicKey] = [ownerOf(options), secretOf(options)]
  return atCosigner(flags, terminal, async (vault) => {
    await vault.commit((tx) => removeSecret(tx, owner, publicKey, { kind: 'operator', timeMs: Date.now() }))
    terminal.print('removed')
  })
}

export const listWalletSecrets = (options: OwnerOptions, flags: Flags, terminal: Terminal): Promise<void> => {
  const owner = ownerOf(options)
  return atCosigner(flags, terminal, async (vault) => {
    const rows = listOwnerSecrets(vault.read, owner).map(({ publicKey, boundBy, bindMs }) => [
      Buffer.from(publicKey).toString('base64'),
      boundBy,
      new Date(bindMs).toISOString(),
      new Date(exportsFromMs({ boundBy, bindMs }, 'dkg')).toISOString(),
    ])
    if (rows.length === 0) return terminal.print('the cosigner has no wallet secret of this user')
    terminal.print(formatTable(['PUBLIC KEY', 'BOUND BY', 'BOUND', 'EXPORTS FROM'], rows))
  })
}
