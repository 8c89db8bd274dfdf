/** The daemon's link records, as the threads of its parties ask the main thread for them. */
import { decodeLinkRecord, encodeLinkRecord, type LinkRecord } from '../engine/dkls23/records.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { addStrike, getLink, listLinks, saveLink } from '../vault/links.ts'
import type { PortEnd } from './port-calls.ts'
import { hexOf } from './presignature-map.ts'

/** Every answer of a write means that it is on disk. */
export type LinkCalls = {
  readonly loadLink: (linkId: Uint8Array) => Uint8Array | undefined
  readonly saveLinks: (controls: readonly Uint8Array[]) => Promise<void>
  readonly linksOfPair: (args: { readonly idA: Uint8Array; readonly idB: Uint8Array }) => readonly Uint8Array[]
  readonly recordStrike: (args: { readonly control: Uint8Array; readonly what: string }) => Promise<void>
}

/** On the main thread, which owns the connection. */
export const serveLinks = (vault: DaemonVault, nowMs: () => number): LinkCalls => ({
  loadLink: (linkId) => getLink(vault.read, linkId)?.control,
  saveLinks: (controls) =>
    vault.commit((tx) => {
      for (const control of controls) saveLink(tx, control, nowMs())
    }),
  linksOfPair: ({ idA, idB }) => {
    const pair = [hexOf(idA), hexOf(idB)].sort().join()
    return listLinks(vault.read)
      .map(({ control }) => control)
      .filter((control) => {
        const { idC, idS } = decodeLinkRecord(control)
        return [hexOf(idC), hexOf(idS)].sort().join() === pair
      })
  },
  recordStrike: ({ control, what }) =>
    vault.commit((tx) => {
      addStrike(tx, decodeLinkRecord(control).linkId, { timeMs: nowMs(), what })
      saveLink(tx, control, nowMs())
    }),
})

/** In a party's thread. */
export const hostedLinks = (host: PortEnd<LinkCalls>) => ({
  loadLink: async (linkId: Uint8Array): Promise<LinkRecord | undefined> => {
    // The id stays the caller's.
    const control = await host.call('loadLink', linkId, { transfer: [] })
    return control === undefined ? undefined : decodeLinkRecord(control)
  },
  saveLinks: (records: readonly LinkRecord[]): Promise<void> => host.call('saveLinks', records.map(encodeLinkRecord)),
  linksOfPair: async (idA: Uint8Array, idB: Uint8Array): Promise<LinkRecord[]> =>
    (await host.call('linksOfPair', { idA, idB })).map(decodeLinkRecord),
  recordStrike: (record: LinkRecord, what: string): Promise<void> =>
    host.call('recordStrike', { control: encodeLinkRecord(record), what }),
})
