/** A provider's answer that a call fails on the chain: an answer, not an outage. */
export class CallReverted extends Error {
  /** What the provider says of it. Never repeated to a caller. */
  readonly said: string

  constructor(said = '') {
    super('the call reverted')
    this.name = 'CallReverted'
    this.said = said
  }
}
