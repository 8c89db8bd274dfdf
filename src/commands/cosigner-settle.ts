/**
 * `countersign cosigner settle`, after one of two hosts was restored, once on each of them: takes in where the other party
 * stands, so that the two accept each other as they are now, and not older. What serves the data directory is stopped.
 */
import { existsSync, readFileSync } from 'node:fs'
import { type Flags, loadConfig } from '../config/load-config.ts'
import { PEER_SETTING } from '../party/open-parties.ts'
import { settleWithPeer } from '../party/settle-restored.ts'
import { parseStanding, standingText } from '../party/remote/standing.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import { getRestoreState } from '../vault/restore-state.ts'
import { getSetting } from '../vault/settings.ts'
import { askAtTerminal, completeSecrets } from './ask-passphrase.ts'
import { openOwn, roleOf } from './cosigner-pair.ts'
import { CommandRefusal, type Terminal, UsageRefusal } from './terminal.ts'

const readText = (text: string): string => {
  if (text.startsWith('csrest1.') || !existsSync(text)) return text
  return readFileSync(text, 'utf8').slice(0, 1_024)
}

/** `text`: the other's standing or a file with it; undefined prints the own one. */
export const settleParties = async (text: string | undefined, flags: Flags, terminal: Terminal): Promise<void> => {
  const { config, secrets, warnings } = loadConfig(flags)
  for (const warning of warnings) terminal.note(`warning: ${warning}`)
  const role = roleOf(config)
  const peer = text === undefined ? undefined : parseStanding(readText(text))
  if (text !== undefined && peer === undefined) throw new UsageRefusal('that is no standing of a party, or it was changed')
  if (peer?.role === role) throw new UsageRefusal(`that is the standing of a ${role}; here is one already`)
  await using vault = await openOwn(config, await completeSecrets(config, secrets, askAtTerminal(false)), role)
  if (peer !== undefined) {
    const known = getSetting(vault.read, PEER_SETTING)?.value
    if (known === undefined || !Buffer.from(known).equals(peer.partyId)) {
      throw new CommandRefusal(`it is the standing of another ${peer.role} than the one that this vault belongs with`)
    }
    if (!peer.isRestored && getRestoreState(vault.read) === undefined) {
      throw new CommandRefusal('neither of the two was restored: there is nothing to settle')
    }
    const timeMs = Date.now()
    await vault.commit((tx) => {
      settleWithPeer(tx, peer.partyId, peer, timeMs)
      appendAudit(tx, {
        timeMs,
        kind: 'party.settled',
        actor: { kind: 'operator', id: '' },
        subject: { type: peer.role, id: Buffer.from(peer.partyId).toString('hex') },
        details: { sequence: String(peer.head.sequence), restore: Buffer.from(peer.restoreId).toString('hex') },
      })
    })
    terminal.note(`the ${peer.role} is accepted as it is at row ${peer.head.sequence} of its audit chain, and later`)
  }
  terminal.print(standingText(vault, role))
  terminal.note(`run \`countersign cosigner settle\` with this text on the other host, unless that was done last`)
}
