/** A provider's answer that a call fails on the chain: an answer, not an outage. */
export class CallReverted extends Error {
  constructor() {
    super('the call reverted')
    this.name = 'CallReverted'
  }
}
