/**
 * Same request id and body, same answer: a repeat that comes while the first runs waits for it, one that comes
 * later gets what was stored, also after a restart. The same id with another body is IDEMPOTENCY_MISMATCH.
 */
import { hash } from 'node:crypto'
import { type DescMessage, type DescMethod, type MessageShape, toBinary } from '@bufbuild/protobuf'
import type { Code } from '@connectrpc/connect'
import { Code as Codes } from '@connectrpc/connect'
import { failure, isFailure } from '../domain/failure.ts'
import type { RequestId } from '../domain/ids.ts'
import { STATUS_RULES } from './status.ts'

/**
 * SHA-256 of the canonical request: what a repeat under the same request id has to equal. It is hashed with the id as it
 * is kept: letter case does not make it another request.
 */
export const bodyHashOf = (
  desc: DescMethod,
  request: MessageShape<DescMessage>,
  requestId: RequestId,
  serialized?: Uint8Array,
): Uint8Array => {
  const isAsKept = requestId === (request as { readonly requestId?: unknown }).requestId
  if (!isAsKept) Object.assign(request, { requestId })
  return hash('sha256', isAsKept && serialized !== undefined ? serialized : toBinary(desc.input, request), 'buffer')
}

export type RequestKey = { readonly caller: string; readonly method: string; readonly requestId: RequestId }

export type RequestClaim =
  /** New: the claimant runs it. */
  | { readonly kind: 'claimed' }
  /** As `claimed`, but an earlier run was cut off, or its end could not be noted: its effects may exist. */
  | { readonly kind: 'reclaimed' | 'running' }
  | { readonly kind: 'done'; readonly response: Uint8Array }

/** Where request ids are remembered, for a day. Each promise resolves once its change is durable. */
export type IdempotencyStore = {
  /** Rejects with IDEMPOTENCY_MISMATCH when the id is known with another body. */
  readonly claim: (key: RequestKey, bodyHash: Uint8Array) => Promise<RequestClaim>
  /** Keeps the answer; sealed, because some hold a secret that is nowhere else. */
  readonly finish: (key: RequestKey, response: Uint8Array) => Promise<void>
  /** It was refused before it had any effect: forgets it. */
  readonly abandon: (key: RequestKey) => Promise<void>
  /** It ended without an answer, and its effects may exist. */
  readonly interrupt: (key: RequestKey) => Promise<void>
  /** Throws when a kept answer must not leave once more: the last thing before it does. */
  readonly assertReleasable: (key: RequestKey) => void
}

/** Refusals that are decided from the request alone: nothing was done, and the id is free for another body. */
const WITHOUT_EFFECT: ReadonlySet<Code> = new Set([
  Codes.InvalidArgument,
  Codes.NotFound,
  Codes.AlreadyExists,
  Codes.PermissionDenied,
  Codes.Unimplemented,
])

/** How the first run ended says nothing about the request itself, so a waiting repeat tries for itself. */
const ENDED_BY_CALLER: ReadonlySet<string> = new Set(['CANCELLED', 'DEADLINE_EXCEEDED'])

type Running = { readonly bodyHash: Uint8Array; readonly answer: Promise<Uint8Array> }

export class Idempotency {
  readonly #store: IdempotencyStore
  readonly #running = new Map<string, Running>()

  constructor(store: IdempotencyStore) {
    this.#store = store
  }

  /** The serialized answer to one request; `run` is called at most once at a time for a key. */
  async once(
    key: RequestKey,
    bodyHash: Uint8Array,
    run: (isRepeat: boolean) => Promise<Uint8Array>,
  ): Promise<Uint8Array> {
    const name = `${key.caller} ${key.method} ${key.requestId}`
    for (;;) {
      const running = this.#running.get(name)
      if (running === undefined) break
      if (Buffer.compare(running.bodyHash, bodyHash) !== 0)
        throw failure('IDEMPOTENCY_MISMATCH', { requestId: key.requestId })
      try {
        return await running.answer
      } catch (error) {
        if (!isFailure(error) || !ENDED_BY_CALLER.has(error.reason)) throw error
      }
    }
    const answer = this.#runFirst(key, bodyHash, run).finally(() => this.#running.delete(name))
    this.#running.set(name, { bodyHash, answer })
    return answer
  }

  async #runFirst(
    key: RequestKey,
    bodyHash: Uint8Array,
    run: (isRepeat: boolean) => Promise<Uint8Array>,
  ): Promise<Uint8Array> {
    const claim = await this.#store.claim(key, bodyHash)
    if (claim.kind === 'done') return claim.response
    let response: Uint8Array
    try {
      response = await run(claim.kind !== 'claimed')
    } catch (error) {
      const isWithoutEffect = isFailure(error) && WITHOUT_EFFECT.has(STATUS_RULES[error.reason].code)
      const isFree = isWithoutEffect && claim.kind === 'claimed'
      // Whatever becomes of this, the caller hears of the first error; the claim is found again as cut off.
      await (isFree ? this.#store.abandon(key) : this.#store.interrupt(key)).catch(() => {})
      throw error
    }
    await this.#store.finish(key, response)
    return response
  }
}
