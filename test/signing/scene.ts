/** The signing script over a real vault and an engine that answers what it is told to. */
import { randomBytes } from 'node:crypto'
import type { Call, Caller } from '../../src/domain/call.ts'
import { parseRequestId, type ProjectId, walletIdFromBytes } from '../../src/domain/ids.ts'
import type { ReadyPresignature } from '../../src/party/initiator.ts'
import { encodeUnsignedTransaction } from '../../src/payload/transaction.ts'
import { parseTransactionFields } from '../../src/payload/transaction-fields.ts'
import { Fences } from '../../src/signing/fences.ts'
import { GrantCache } from '../../src/signing/grant-cache.ts'
import { RateLimiter } from '../../src/signing/rate-limiter.ts'
import { sign, type SignNeeds } from '../../src/signing/sign.ts'
import { createApiKey } from '../../src/vault/api-keys.ts'
import { readUsage, utcDay } from '../../src/vault/usage.ts'
import { insertWallet, type NewWallet } from '../../src/vault/wallets.ts'
import { callerOf, callOf as makeCall } from './call.ts'
import { makeVault, newWallet, NOW } from '../vault/fixture.ts'

export const NATIVE = 'eip155:1/native'
export const PROJECT = 'default' as ProjectId
const CAPPED = { permission: 'wallet:sign', narrowing: { max_per_day: { [NATIVE]: '100' } } }

type Answer = 'signed' | Error
export type Scene = Awaited<ReturnType<typeof stage>>

/** A vault with one wallet and one key, and an engine that answers what it is told to, one answer a try. */
export const stage = async (grants: readonly object[] = [CAPPED], wallet: Partial<NewWallet> = {}) => {
  const vault = await makeVault()
  const bytes = new Uint8Array(randomBytes(16))
  const walletId = walletIdFromBytes(bytes)
  const key = await vault.commit((tx) => {
    insertWallet(tx, newWallet({ ...wallet, walletId }))
    return createApiKey(tx, { project: PROJECT, name: 'k', permissions: grants as never, nowMs: NOW }).key
  })
  const answers: Answer[] = []
  const taken: string[] = []
  const discarded: string[] = []
  const hex = (id: Uint8Array): string => Buffer.from(id).toString('hex')
  let duringSign = async (): Promise<void> => undefined
  let duringTaking = async (): Promise<void> => undefined
  let duringPreparation: () => void = () => {}
  const engine: SignNeeds['engine'] = {
    takePresignature: async () => {
      await duringTaking()
      const presigId = new Uint8Array(randomBytes(16))
      taken.push(hex(presigId))
      const ready: ReadyPresignature = {
        walletId: bytes, presigId, wEpoch: 0, noncePoint: new Uint8Array(randomBytes(33)), expiresAtMs: NOW + 1e6,
      }
      return ready
    },
    estimateSignMs: () => 0,
    signEd25519: () => Promise.reject(new Error('no Ed25519 wallet here')),
    discardPresignature: (presigId) => void discarded.push(hex(presigId)),
    prepareSign: () => duringPreparation(),
    sign: async () => {
      await duringSign()
      const answer = answers.shift() ?? 'signed'
      if (answer !== 'signed') throw answer
      return { r: new Uint8Array(32).fill(1), s: new Uint8Array(32).fill(2), recid: 0 }
    },
  }
  let nowMs = NOW
  const clock = { nowMs: () => nowMs, monotonicNs: () => 0n }
  const needs: SignNeeds = {
    vault,
    engine,
    clock,
    fences: new Fences(),
    grants: new GrantCache(),
    rates: new RateLimiter(() => 0),
    onAlert: () => undefined,
  }
  const byKey = callerOf(key, 'wallet:sign')
  const callOf = (requestId?: string, caller: Caller = byKey): Call =>
    makeCall(caller, 'WalletService/SignTransaction', {
      requestId: requestId === undefined ? undefined : parseRequestId(requestId),
    })
  return {
    vault, needs, key, walletId, answers, taken, discarded,
    callOf,
    payAs: (call: Call, wei: bigint) =>
      sign(needs, call, {
        walletRef: walletId,
        method: 'SignTransaction',
        content: { kind: 'transaction', unsigned: transferOf(wei) },
      }),
    pay(wei: bigint, requestId?: string) {
      return this.payAs(callOf(requestId), wei)
    },
    passTime: (ms: number) => {
      nowMs += ms
    },
    whileTaking: (work: () => Promise<void>) => {
      duringTaking = work
    },
    whilePreparing: (work: () => void) => {
      duringPreparation = work
    },
    whileSigning: (work: () => Promise<void>) => {
      duringSign = work
    },
    spent: () =>
      readUsage(vault.read, { principal: key.keyId, permission: 'wallet:sign#0', token: NATIVE, day: utcDay(NOW) }),
  }
}

const transferOf = (wei: bigint): Uint8Array =>
  encodeUnsignedTransaction(
    parseTransactionFields({
      type: 'dynamic-fee', chainId: 1n, nonce: 0n, gasLimit: 21_000n, maxFeePerGas: '1',
      to: '0x11e9ca82a3a762b4b5bd264d4173a242e7a77064', value: String(wei),
    }),
  )

