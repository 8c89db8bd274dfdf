/** What a run of the peer tool is given, whichever party it is. */
export type PeerRun = {
  readonly seed: string
  readonly idC: Uint8Array
  readonly idS: Uint8Array
  /** One JSON line on stderr. */
  readonly report: (line: object) => void
}
