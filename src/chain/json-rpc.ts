/** One JSON-RPC 2.0 provider over HTTP. What it sends is bounded, checked for form and never repeated to anybody. */
import type { Secret } from '../domain/secret.ts'
import type { SendHttp } from '../egress/http.ts'
import { CallReverted } from './call-reverted.ts'

/** It did not answer, or not with a JSON-RPC answer to this question. */
export class ProviderFault extends Error {
  constructor(why: string) {
    super(why)
    this.name = 'ProviderFault'
  }
}

/** It answered this very question with an error of its own. */
export class ProviderRefusal extends ProviderFault {
  /** Never repeated to a caller. */
  readonly said: string

  constructor(said: string) {
    super('it refuses the question')
    this.said = said
  }
}

/** Rejects with ProviderFault, or CallReverted where the chain itself says no. */
export type AskProvider = (method: string, params: readonly unknown[], signal?: AbortSignal) => Promise<unknown>

const TIMEOUT_MS = 5_000
const CONNECT_TIMEOUT_MS = 2_000
const MAX_RESPONSE_BYTES = 1_048_576
const MAX_MESSAGE_CHARACTERS = 1_000
/** What nodes answer to a call that reverts or runs out of gas; there is no one code for it (EIP-1474). */
const REVERTED_CODES: ReadonlySet<number> = new Set([3, -32_000, -32_003, -32_015, -32_521])
/** A revert under a code of any fault. */
const HALTED = /execution reverted|EVM error|out of gas|invalid opcode|stack (?:under|over)flow/i
/** What those codes also stand for, and what is no answer about the call. */
const NOT_A_REVERT = /header not found|unknown block|missing trie node|rate|limit exceeded|timeout|timed out|unsupported|not available/i

type Answer = { readonly id?: unknown; readonly result?: unknown; readonly error?: unknown }

const parseAnswer = (body: Uint8Array, id: number): Answer => {
  let parsed: unknown
  try {
    parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch {
    throw new ProviderFault('no JSON')
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw new ProviderFault('no JSON-RPC answer')
  const answer = parsed as Answer
  if (answer.id !== id) throw new ProviderFault('an answer to another question')
  return answer
}

const refusalOf = (error: unknown): Error => {
  const { code, message } = error as { readonly code?: unknown; readonly message?: unknown }
  const text = typeof message === 'string' ? message.slice(0, MAX_MESSAGE_CHARACTERS) : ''
  const isRevert = HALTED.test(text) || (typeof code === 'number' && REVERTED_CODES.has(code) && !NOT_A_REVERT.test(text))
  return isRevert ? new CallReverted(text) : new ProviderRefusal(text)
}

export const createProvider = (send: SendHttp, url: Secret<string>): AskProvider => {
  let lastId = 0
  return async (method, params, signal) => {
    const id = ++lastId
    const response = await send({
      url: url.reveal(),
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: new TextEncoder().encode(JSON.stringify({ jsonrpc: '2.0', id, method, params })),
      timeoutMs: TIMEOUT_MS,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      maxResponseBytes: MAX_RESPONSE_BYTES,
      signal,
    }).catch((error: unknown) => {
      throw new ProviderFault(error instanceof Error ? error.message : 'no answer')
    })
    // Some providers send errors of the call with a status of their own; without a JSON-RPC body they are no answer.
    const answer = parseAnswer(response.body, id)
    if (answer.error !== undefined && answer.error !== null) throw refusalOf(answer.error)
    if (response.status !== 200) throw new ProviderFault('an HTTP error')
    if (answer.result === undefined) throw new ProviderFault('no result')
    return answer.result
  }
}
