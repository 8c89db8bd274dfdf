/**
 * `countersign cosigner relink`, the operator's answer to a burned or suspended link (the protocol, §15.4). It
 * works on the two vaults of a stopped daemon: a grant on both sides for a burned link, the clearing of strikes
 * for a suspended one. Shares are untouched; the parties set the link up anew at the next start.
 */
import type { Config, Secrets } from '../config/config.ts'
import { loadConfig, type Flags } from '../config/load-config.ts'
import { decodeLinkRecord } from '../engine/dkls23/records.ts'
import { isCosignerLink } from '../party/delegation-links.ts'
import { MAX_BURNS } from '../party/link.ts'
import { grantRelink } from '../party/relink-grant.ts'
import { listLinks } from '../vault/links.ts'
import type { Reader, Tx } from '../vault/store.ts'
import type { Vault } from '../vault/vault.ts'
import { askAtTerminal, completeSecrets } from './ask-passphrase.ts'
import { withVaults } from './open-vaults.ts'
import { formatTable } from './print-table.ts'
import { CommandRefusal, type Terminal } from './terminal.ts'

type Mended = { readonly party: string; readonly linkId: string; readonly done: string }

/** Its links to delegates, and to daemons that delegated, are the business of `countersign delegate-link`. */
const linksToMend = (reader: Reader) =>
  listLinks(reader).filter(({ control }) => isCosignerLink(reader, decodeLinkRecord(control)))

const refuseBeyondMending = (vault: Vault): void => {
  const spent = linksToMend(vault.read).some(({ state, control }) => {
    return state === 'BURNED' && decodeLinkRecord(control).burns >= MAX_BURNS
  })
  if (!spent) return
  throw new CommandRefusal(
    `a link was burned ${MAX_BURNS} times: it is not set up again, the cosigner needs a new identity`,
  )
}

const mendLinks = (tx: Tx, party: string, nowMs: number): Mended[] =>
  linksToMend(tx).flatMap(({ linkId, state }) => {
    if (grantRelink(tx, linkId, nowMs) !== 'granted') return []
    const linkIdHex = Buffer.from(linkId).toString('hex')
    return [{ party, linkId: linkIdHex, done: state === 'BURNED' ? 'may be set up anew' : 'suspension cleared' }]
  })

/** A party whose peer is on another host is mended there too, by the same command. */
const mendHere = (config: Config, secrets: Secrets): Promise<Mended[]> =>
  withVaults({ config, secrets }, async ({ daemon, cosigner }) => {
    const nowMs = Date.now()
    if (daemon !== undefined) refuseBeyondMending(daemon)
    if (cosigner !== undefined) refuseBeyondMending(cosigner)
    const atCosigner = await cosigner?.commit((tx) => mendLinks(tx, 'cosigner', nowMs))
    const atDaemon = await daemon?.commit((tx) => mendLinks(tx, 'daemon', nowMs))
    return [...(atDaemon ?? []), ...(atCosigner ?? [])]
  })

export const relinkCosigner = async (flags: Flags, terminal: Terminal): Promise<void> => {
  const { config, secrets, warnings } = loadConfig(flags)
  for (const warning of warnings) terminal.note(`warning: ${warning}`)
  const mended = await mendHere(config, await completeSecrets(config, secrets, askAtTerminal(false)))
  if (mended.length === 0) return terminal.print('no link is burned or suspended; nothing was changed')
  const rows = mended.map(({ party, linkId, done }) => [party, linkId, done])
  terminal.print(formatTable(['PARTY', 'LINK', 'NOW'], rows))
  terminal.note('start the daemon: the parties set the link up at its start')
}
