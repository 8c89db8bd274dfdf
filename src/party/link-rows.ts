/** A vault's link records: of the thread that owns it, and as the threads of parties ask another for them. */
import { failure } from '../domain/failure.ts'
import { decodeLinkRecord, encodeLinkRecord } from '../engine/dkls23/records.ts'
import { addStrike, getLink, listLinks, saveLink } from '../vault/links.ts'
import type { Tx } from '../vault/store.ts'
import type { Vault } from '../vault/vault.ts'
import type { PartyStore } from './party-store.ts'
import type { PortEnd } from './port-calls.ts'
import { hexOf } from './presignature-map.ts'

/** Every answer of a write means that it is on disk. */
export type LinkCalls = {
  readonly loadLink: (linkId: Uint8Array) => Uint8Array | undefined
  readonly saveLinks: (controls: readonly Uint8Array[]) => Promise<void>
  readonly linksOfPair: (args: { readonly idA: Uint8Array; readonly idB: Uint8Array }) => readonly Uint8Array[]
  readonly recordStrike: (args: { readonly control: Uint8Array; readonly what: string }) => Promise<void>
}

/** In the thread that owns the connection. */
export const serveLinks = (vault: Pick<Vault, 'read' | 'commit'>, nowMs: () => number): LinkCalls => ({
  loadLink: (linkId) => getLink(vault.read, linkId)?.control,
  saveLinks: (controls) =>
    vault.commit((tx) => {
      for (const control of controls) keepLink(tx, control, nowMs())
    }),
  linksOfPair: ({ idA, idB }) => {
    const pair = pairOf(idA, idB)
    return listLinks(vault.read)
      .map(({ control }) => control)
      .filter((control) => {
        const { idC, idS } = decodeLinkRecord(control)
        return pairOf(idC, idS) === pair
      })
  },
  recordStrike: ({ control, what }) =>
    vault.commit((tx) => {
      addStrike(tx, decodeLinkRecord(control).linkId, { timeMs: nowMs(), what })
      keepLink(tx, control, nowMs())
    }),
})

/**
 * A burn stands, whoever still knows the link as it was before: two parties that delegate to each other have links in two
 * threads, and a burn over one is of both. Refuses: LINK_BURNED.
 */
const keepLink = (tx: Tx, control: Uint8Array, timeMs: number): void => {
  const { linkId, burns } = decodeLinkRecord(control)
  const stored = getLink(tx, linkId)
  if (stored !== undefined && decodeLinkRecord(stored.control).burns > burns) throw failure('LINK_BURNED', {})
  saveLink(tx, control, timeMs)
}

const pairOf = (idA: Uint8Array, idB: Uint8Array): string => [hexOf(idA), hexOf(idB)].toSorted().join()

type Links = Pick<PartyStore, 'loadLink' | 'saveLinks' | 'linksOfPair' | 'recordStrike'>
type Asked = { readonly [M in keyof LinkCalls]: (args: Parameters<LinkCalls[M]>[0]) => ReturnType<LinkCalls[M]> | Promise<Awaited<ReturnType<LinkCalls[M]>>> }

const linksOver = (asked: Asked): Links => ({
  loadLink: async (linkId) => {
    const control = await asked.loadLink(linkId)
    return control === undefined ? undefined : decodeLinkRecord(control)
  },
  saveLinks: async (records) => asked.saveLinks(records.map(encodeLinkRecord)),
  linksOfPair: async (idA, idB) => (await asked.linksOfPair({ idA, idB })).map(decodeLinkRecord),
  recordStrike: async (record, what) => asked.recordStrike({ control: encodeLinkRecord(record), what }),
})

/** Of the vault that this thread owns. */
export const ownLinks = (vault: Pick<Vault, 'read' | 'commit'>, nowMs: () => number): Links => linksOver(serveLinks(vault, nowMs))

/** In a party's thread, over a vault of another's. */
export const hostedLinks = (host: PortEnd<LinkCalls>): Links =>
  linksOver({
    // The id stays the caller's.
    loadLink: (linkId) => host.call('loadLink', linkId, { transfer: [] }),
    saveLinks: (controls) => host.call('saveLinks', controls),
    linksOfPair: (pair) => host.call('linksOfPair', pair),
    recordStrike: (strike) => host.call('recordStrike', strike),
  })
