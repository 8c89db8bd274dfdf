import { readFileSync } from 'node:fs'
import { Code } from '@connectrpc/connect'
import { describe, expect, it } from 'vitest'
import { ErrorReasonSchema } from '../../gen/countersign/v1/errors_pb.ts'
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from '../../gen/google/rpc/error_details_pb.ts'
import type { FailureFacts, FailureReason } from '../../src/domain/failure.ts'
import { failure } from '../../src/domain/failure.ts'
import { STATUS_RULES, toFailure, toStatusError } from '../../src/rpc/status.ts'

const proto = readFileSync(new URL('../../proto/countersign/v1/errors.proto', import.meta.url), 'utf8')

/** `INVALID_ARGUMENT` */
const wireName = (code: Code): string =>
  code === Code.Canceled ? 'CANCELLED' : Code[code].replaceAll(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase()

const details = (reason: FailureReason, facts: object) => {
  const error = toStatusError(failure(reason, facts as FailureFacts[typeof reason]))
  return {
    error,
    info: error.findDetails(ErrorInfoSchema)[0],
    badRequest: error.findDetails(BadRequestSchema)[0],
    retry: error.findDetails(RetryInfoSchema)[0],
  }
}

describe('the reasons', () => {
  it('are the same in the catalogue, the status table and the proto', () => {
    const sent = ErrorReasonSchema.values.filter(({ number, deprecated }) => number !== 0 && !deprecated)
    const inProto = sent.map(({ localName }) => localName)
    expect(inProto.toSorted()).toEqual(Object.keys(STATUS_RULES).toSorted())
  })

  it.each(Object.entries(STATUS_RULES))(
    '%s is described with its code and whether a retry helps',
    (reason, rule) => {
      const described = new RegExp(
        `// ([A-Z_]+), (yes|no|same_request_id)\\.(?:(?!\\n  E)[\\s\\S])*\\n  ERROR_REASON_${reason} =`,
      )
      const [, code, retryable] = described.exec(proto) ?? []
      expect([code, retryable]).toEqual([wireName(rule.code), rule.retryable])
    },
  )
})

describe('a refusal on the wire', () => {
  it('names its reason, our domain, its facts and whether to retry', () => {
    const { error, info, badRequest, retry } = details('LIMIT_EXCEEDED', {
      limit: 'max_per_day',
      seen: '11',
      allowed: '10',
    })
    expect(error.code).toBe(Code.ResourceExhausted)
    expect(info).toMatchObject({
      reason: 'LIMIT_EXCEEDED',
      domain: 'countersign',
      metadata: { limit: 'max_per_day', seen: '11', allowed: '10', retryable: 'no' },
    })
    expect(badRequest).toBeUndefined()
    expect(retry).toBeUndefined()
  })

  it('says how long to wait, where waiting helps', () => {
    const { info, retry } = details('RATE_LIMITED', { limit: 'requests_per_second', retryAfterMs: 1_250 })
    expect(info?.metadata).toEqual({ limit: 'requests_per_second', retryAfterMs: '1250', retryable: 'yes' })
    expect(retry?.retryDelay).toMatchObject({ seconds: 1n, nanos: 250_000_000 })
    expect(details('AUDIT_UNAVAILABLE', {}).retry?.retryDelay?.seconds).toBe(1n)
  })

  it('names the field at fault', () => {
    const { badRequest } = details('TYPED_DATA_INVALID', { path: 'message.to', why: 'is missing' })
    expect(badRequest?.fieldViolations).toMatchObject([{ field: 'message.to', description: 'is missing' }])
    const violations = [{ field: 'wallet', description: 'is empty' }]
    expect(details('INVALID_REQUEST', { violations }).badRequest?.fieldViolations).toMatchObject(violations)
  })

  it('tells a caller nothing of paths and places', () => {
    for (const reason of ['VAULT_CORRUPT', 'VAULT_UNWRITABLE', 'ROOT_KEY_UNREADABLE', 'VAULT_LOCKED'] as const) {
      const { error, info } = details(reason, {
        where: '/secret',
        path: '/secret',
        why: 'EIO',
        provider: 'p',
        dataDir: '/secret',
      })
      expect(error.message).not.toContain('secret')
      expect(Object.keys(info?.metadata ?? {})).toEqual(['retryable'])
    }
  })

  it('stays small and well-formed, however long and odd the text', () => {
    const odd = `${'\u{1F600}'.repeat(5_000)}\ud800`
    const violations = Array.from({ length: 1_000 }, () => ({ field: odd, description: odd }))
    const { error, badRequest } = details('INVALID_REQUEST', { violations })
    expect(error.rawMessage.isWellFormed()).toBe(true)
    expect(error.rawMessage.length).toBeLessThanOrEqual(800)
    expect(() => encodeURI(error.rawMessage)).not.toThrow()
    expect(badRequest?.fieldViolations.length).toBeLessThanOrEqual(12)
    for (const { field } of badRequest?.fieldViolations ?? []) expect(field.isWellFormed()).toBe(true)
    const { info } = details('TYPED_DATA_INVALID', { path: odd, why: odd })
    for (const value of Object.values(info?.metadata ?? {})) expect(value.length).toBeLessThanOrEqual(400)
  })

  it('is opaque for everything that is not a refusal', () => {
    for (const thrown of [new Error('inner'), 'text', undefined, null, { reason: 'FROZEN' }]) {
      const error = toStatusError(toFailure(thrown))
      expect(error.code).toBe(Code.Internal)
      expect(error.rawMessage).toBe('internal error')
      expect(error.findDetails(ErrorInfoSchema)[0]?.metadata).toEqual({ retryable: 'no' })
    }
  })
})
