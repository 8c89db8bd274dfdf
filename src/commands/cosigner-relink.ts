/**
 * `countersign cosigner relink`, the operator's answer to a burned or suspended link (the protocol, §15.4). It
 * works on the two vaults of a stopped daemon: a grant on both sides for a burned link, the clearing of strikes
 * for a suspended one. Shares are untouched; the parties set the link up anew at the next start.
 */
import type { Config, Secrets } from '../config/config.ts'
import { dataDirPaths, loadConfig, type Flags } from '../config/load-config.ts'
import { decodeLinkRecord, encodeLinkRecord, type LinkRecord } from '../engine/dkls23/records.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import { openCosignerVault } from '../vault/cosigner-vault.ts'
import { openDaemonVault } from '../vault/daemon-vault.ts'
import { clearStrikes, listLinks, saveLink } from '../vault/links.ts'
import type { Tx } from '../vault/store.ts'
import type { Vault } from '../vault/vault.ts'
import { askAtTerminal, completeSecrets } from './ask-passphrase.ts'
import { formatTable } from './print-table.ts'
import { rootKeyProviders } from './root-keys.ts'
import { CommandRefusal, type Terminal } from './terminal.ts'

/** Set-ups that one grant allows. */
const GRANTED_SETUPS = 5
/** After so many burns the peer gets a new identity, not another chance. */
const MAX_BURNS = 3

type Mended = { readonly party: string; readonly linkId: string; readonly done: string }

const mend = (record: LinkRecord): { readonly record: LinkRecord; readonly done: string } | undefined => {
  if (record.state === 'BURNED')
    return { record: { ...record, relinkGrant: GRANTED_SETUPS }, done: 'may be set up anew' }
  if (record.state === 'SUSPENDED') {
    return { record: { ...record, state: 'ACTIVE', strikeAtMs: [0n, 0n, 0n] }, done: 'suspension cleared' }
  }
  return undefined
}

const refuseBeyondMending = (vault: Vault): void => {
  const spent = listLinks(vault.read).find(({ control }) => {
    const { state, burns } = decodeLinkRecord(control)
    return state === 'BURNED' && burns >= MAX_BURNS
  })
  if (spent === undefined) return
  throw new CommandRefusal(
    `a link was burned ${MAX_BURNS} times: it is not set up again, the cosigner needs a new identity`,
  )
}

const mendLinks = (tx: Tx, party: string, nowMs: number): Mended[] =>
  listLinks(tx).flatMap(({ control }) => {
    const record = decodeLinkRecord(control)
    const mended = mend(record)
    if (mended === undefined) return []
    const linkId = Buffer.from(record.linkId).toString('hex')
    saveLink(tx, encodeLinkRecord(mended.record), nowMs)
    if (record.state === 'SUSPENDED') clearStrikes(tx, record.linkId)
    appendAudit(tx, {
      timeMs: nowMs,
      kind: record.state === 'BURNED' ? 'link.relink_granted' : 'link.suspension_cleared',
      actor: { kind: 'operator', id: '' },
      subject: { type: 'link', id: linkId },
    })
    return [{ party, linkId, done: mended.done }]
  })

const mendBoth = async (config: Config, secrets: Secrets): Promise<Mended[]> => {
  const paths = dataDirPaths(config.dataDir)
  const providers = rootKeyProviders(config, secrets)
  const nowMs = Date.now()
  await using daemon = await openDaemonVault({ path: paths.daemonVault, provider: providers.daemon, nowMs })
  await using cosigner = await openCosignerVault({
    path: paths.cosignerVault,
    provider: providers.cosigner,
    nowMs,
  })
  refuseBeyondMending(daemon)
  refuseBeyondMending(cosigner)
  const atCosigner = await cosigner.commit((tx) => mendLinks(tx, 'cosigner', nowMs))
  const atDaemon = await daemon.commit((tx) => mendLinks(tx, 'daemon', nowMs))
  return [...atDaemon, ...atCosigner]
}

export const relinkCosigner = async (flags: Flags, terminal: Terminal): Promise<void> => {
  const { config, secrets, warnings } = loadConfig(flags)
  for (const warning of warnings) terminal.note(`warning: ${warning}`)
  const mended = await mendBoth(config, await completeSecrets(config, secrets, askAtTerminal(false)))
  if (mended.length === 0) return terminal.print('no link is burned or suspended; nothing was changed')
  const rows = mended.map(({ party, linkId, done }) => [party, linkId, done])
  terminal.print(formatTable(['PARTY', 'LINK', 'NOW'], rows))
  terminal.note('start the daemon: the parties set the link up at its start')
}
