import { MessageChannel } from 'node:worker_threads'
import { expect, it } from 'vitest'
import { failure } from '../../src/domain/failure.ts'
import { PeerUnavailable } from '../../src/party/counterparty.ts'
import { asFailure } from '../../src/party/party-failure.ts'
import { openPortEnd } from '../../src/party/port-calls.ts'

const callsTo = (handler: () => unknown) => {
  const { port1, port2 } = new MessageChannel()
  openPortEnd(port2, { ask: handler }, () => undefined)
  const end = openPortEnd<{ ask: () => Promise<void> }>(port1, {}, () => undefined)
  return { ask: () => end.call('ask', undefined).finally(() => port1.close()) }
}
const errorOf = (work: Promise<unknown>): Promise<unknown> => work.then(() => undefined, (error: unknown) => error)

it('a peer that is away stays one across a port, and is told as the cosigner that cannot be reached', async () => {
  const error = await errorOf(callsTo(() => Promise.reject(new PeerUnavailable('it left'))).ask())
  expect(error).toBeInstanceOf(PeerUnavailable)
  expect(asFailure(error)).toMatchObject({ reason: 'COSIGNER_UNAVAILABLE', facts: { why: 'it left' } })
})

it('a refusal crosses with its reason and facts, a bug without anything', async () => {
  const refused = await errorOf(callsTo(() => Promise.reject(failure('REFRESH_NOT_DUE', { retryAfterMs: 5 }))).ask())
  expect(asFailure(refused)).toMatchObject({ reason: 'REFRESH_NOT_DUE', facts: { retryAfterMs: 5 } })
  const bug = await errorOf(callsTo(() => Promise.reject(new Error('a secret'))).ask())
  expect(String(asFailure(bug))).toBe('Error: a party failed internally')
})
