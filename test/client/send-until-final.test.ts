import { describe, expect, it } from 'vitest'
import { create } from '@bufbuild/protobuf'
import { Code, ConnectError } from '@connectrpc/connect'
import { SendTransactionResponseSchema, TransactionState } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { CountersignError, decodeError } from '../../src/client/countersign-error.ts'
import { sendUntilFinal } from '../../src/client/send-until-final.ts'

type Step = TransactionState | Error | 'end'

/** A daemon whose streams go one after the other through these steps. */
const daemonOf = (...streams: readonly (readonly Step[])[]) => {
  const asked: string[] = []
  const sendTransaction = async function* stream({ requestId = '' }: { readonly requestId?: string }) {
    asked.push(requestId)
    for (const step of streams[asked.length - 1] ?? []) {
      if (step instanceof Error) throw step
      if (step === 'end') return
      yield create(SendTransactionResponseSchema, { transaction: { transactionId: 'snd_1', state: step } })
    }
  }
  return { asked, client: { wallets: { sendTransaction } } as unknown as CountersignClient }
}

const gone = decodeError(new ConnectError('gone', Code.Unavailable))
const refusal = (reason: string): CountersignError =>
  new CountersignError(reason, { code: 'UNAVAILABLE', reason, metadata: {}, retryable: 'yes', retryAfterMs: undefined, violations: [] })
const request = { wallet: 'w', network: 'linea', transaction: { case: 'evm', value: { to: '0x' } } } as const

describe('a transaction that is waited for', () => {
  it('is asked for again under the same id as often as its stream breaks off', async () => {
    const { SIGNED, BROADCAST, INCLUDED, REPLACED } = TransactionState
    const { client, asked } = daemonOf([SIGNED, gone], [gone], [BROADCAST, 'end'], [BROADCAST, refusal('SHUTTING_DOWN')], [INCLUDED, REPLACED, BROADCAST])
    const states: number[] = []
    const last = await sendUntilFinal(client, request, { retryMs: 1, onState: ({ state }) => states.push(state) })
    expect([last.state, states]).toEqual([REPLACED, [SIGNED, BROADCAST, BROADCAST, INCLUDED, REPLACED]])
    expect([asked.length, new Set(asked).size]).toEqual([5, 1])
    expect(asked[0]).toMatch(/^[0-9a-f-]{36}$/)
  })

  it('keeps the id that it was given, and a refusal is the end', async () => {
    const requestId = '0f0e0d0c-0b0a-4090-8070-605040302010'
    const { client, asked } = daemonOf([refusal('CHAIN_UNAVAILABLE')])
    await expect(sendUntilFinal(client, { ...request, requestId })).rejects.toMatchObject({ reason: 'CHAIN_UNAVAILABLE' })
    expect(asked).toEqual([requestId])
  })

  it('is not waited for any longer than its signal says', async () => {
    const giving = new AbortController()
    const { client } = daemonOf([TransactionState.SIGNED, gone])
    const waiting = sendUntilFinal(client, request, { signal: giving.signal, retryMs: 60_000, onState: () => giving.abort(new Error('enough')) })
    await expect(waiting).rejects.toThrow('enough')
  })
})
