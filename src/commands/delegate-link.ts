/**
 * `countersign delegate-link`: a stopped daemon's links to its delegates, and to the daemons that delegated to it. The
 * operator's word after a failed cheating check burned one (the protocol, §15.4) is needed on both sides; then the two set
 * the link up anew with the delegate's next request. Shares are untouched, and the accesses go on.
 */
import { loadConfig, type Flags } from '../config/load-config.ts'
import { type DelegationLink, listDelegationLinks } from '../party/delegation-links.ts'
import { MAX_BURNS } from '../party/link.ts'
import { partyIdOf } from '../party/party-id.ts'
import { grantRelink } from '../party/relink-grant.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { askAtTerminal, completeSecrets } from './ask-passphrase.ts'
import { withVaults } from './open-vaults.ts'
import { formatTable } from './print-table.ts'
import { CommandRefusal, type Terminal } from './terminal.ts'

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

const withDaemonVault = async <T>(flags: Flags, terminal: Terminal, use: (vault: DaemonVault) => Promise<T>): Promise<T> => {
  const { config, secrets, warnings } = loadConfig(flags)
  for (const warning of warnings) terminal.note(`warning: ${warning}`)
  const complete = await completeSecrets(config, secrets, askAtTerminal(false))
  return withVaults({ config, secrets: complete }, async ({ daemon }) => {
    if (daemon === undefined) throw new CommandRefusal('this is the data directory of a cosigner: it has no such links')
    return use(daemon)
  })
}

const PEERS = { granting: 'a delegate', delegate: 'a daemon that delegated' } as const

const rowOf = ({ side, peerId, state, burns, isGranted }: DelegationLink): string[] => {
  const stands = state === 'BURNED' && isGranted ? 'burned, may be set up anew' : state.toLowerCase()
  return [hexOf(peerId), PEERS[side], stands, `${burns} of ${MAX_BURNS}`]
}

export const listDelegateLinks = (flags: Flags, terminal: Terminal): Promise<void> =>
  withDaemonVault(flags, terminal, async ({ read }) => {
    const links = listDelegationLinks(read)
    if (links.length === 0) return terminal.print('there is no link to a delegate, or to a daemon that delegated')
    terminal.print(formatTable(['PARTY', 'IS', 'LINK', 'BURNED'], links.map(rowOf)))
  })

/** `name`: a party id, or the identity key that one is made of; hexadecimal. Two where each delegates to the other. */
const linksWith = (links: readonly DelegationLink[], name: string): DelegationLink[] => {
  if (!/^[0-9a-f]{64}$/i.test(name)) throw new CommandRefusal('expected a party id or an identity key: 64 hexadecimal digits')
  const ids = [name.toLowerCase(), hexOf(partyIdOf(Uint8Array.from(Buffer.from(name, 'hex'))))]
  const found = links.filter(({ peerId }) => ids.includes(hexOf(peerId)))
  if (found.length === 0) throw new CommandRefusal('there is no link to this party; "countersign delegate-link list" says which there are')
  return found
}

/** Every link to the party: a burn of one was a burn of all. */
export const relinkDelegate = (name: string, flags: Flags, terminal: Terminal): Promise<void> =>
  withDaemonVault(flags, terminal, async (vault) => {
    const links = linksWith(listDelegationLinks(vault.read), name)
    const verdicts = await vault.commit((tx) => links.map(({ linkId }) => grantRelink(tx, linkId, Date.now())))
    const granted = links.filter((_, at) => verdicts[at] === 'granted')
    for (const { state } of granted) terminal.print(state === 'BURNED' ? 'the link may be set up anew' : 'the suspension is cleared')
    if (verdicts.includes('too many burns'))
      throw new CommandRefusal(
        `the link was burned ${MAX_BURNS} times: it is not set up again. Take the accesses over it back; the delegate needs a new identity`,
      )
    if (granted.length === 0) return terminal.print('the link is neither burned nor suspended; nothing was changed')
    if (granted.some(({ state }) => state === 'BURNED'))
      terminal.note('it is, with the next request of the delegate, once the other side has done the same; start the daemon')
  })
