import { Code, ConnectError } from '@connectrpc/connect'
import { describe, expect, it } from 'vitest'
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from '../../gen/google/rpc/error_details_pb.ts'
import { createCountersignClient } from '../../src/client/countersign-client.ts'
import { CountersignError, decodeError } from '../../src/client/countersign-error.ts'
import { startLyingDaemon } from './lying-daemon.ts'

const errorInfo = (metadata: Record<string, string>, domain = 'countersign') => ({
  desc: ErrorInfoSchema,
  value: { reason: 'RATE_LIMITED', domain, metadata },
})

/** What a caller gets when the server throws `thrown`, over a real connection. */
const overTheWire = async (thrown: unknown): Promise<CountersignError> => {
  const fail = () => {
    throw thrown
  }
  await using daemon = await startLyingDaemon({ wallets: { getWallet: fail } })
  using client = createCountersignClient({ endpoint: daemon.endpoint, apiKey: 'csk_x' })
  const error: unknown = await client.wallets.getWallet({ wallet: 'x' }).catch((caught: unknown) => caught)
  expect(error).toBeInstanceOf(CountersignError)
  return error as CountersignError
}

describe('errors', () => {
  it('carry code, reason, metadata and when to ask again', async () => {
    const details = [
      errorInfo({ retryable: 'yes', limit: 'key' }),
      { desc: RetryInfoSchema, value: { retryDelay: { seconds: 1n, nanos: 250_000_001 } } },
    ]
    const error = await overTheWire(new ConnectError('slow down', Code.ResourceExhausted, undefined, details))
    expect(error).toMatchObject({
      message: 'slow down',
      code: 'RESOURCE_EXHAUSTED',
      reason: 'RATE_LIMITED',
      metadata: { retryable: 'yes', limit: 'key' },
      retryable: 'yes',
      retryAfterMs: 1251,
      violations: [],
    })
    expect(error.cause).toBeInstanceOf(ConnectError)
  })

  it('name the fields that were refused', async () => {
    const fieldViolations = [{ field: 'wallet', description: 'value is required' }]
    const details = [errorInfo({ retryable: 'no' }), { desc: BadRequestSchema, value: { fieldViolations } }]
    const error = await overTheWire(new ConnectError('no', Code.InvalidArgument, undefined, details))
    expect(error.violations).toEqual(fieldViolations)
    expect(error.retryable).toBe('no')
    expect(error.retryAfterMs).toBeUndefined()
  })

  it('ignore the ErrorInfo of another domain', async () => {
    const details = [errorInfo({ retryable: 'yes' }, 'proxy.example')]
    const error = await overTheWire(new ConnectError('no', Code.PermissionDenied, undefined, details))
    expect(error).toMatchObject({ code: 'PERMISSION_DENIED', reason: undefined, metadata: {}, retryable: 'no' })
  })

  it.each([
    [Code.Unavailable, 'same_request_id'],
    [Code.DeadlineExceeded, 'same_request_id'],
    [Code.Internal, 'same_request_id'],
    [Code.Unknown, 'same_request_id'],
    [Code.Canceled, 'same_request_id'],
    [Code.Unauthenticated, 'no'],
    [Code.NotFound, 'no'],
  ] as const)('without ErrorInfo treat code %i as retryable %s', (code, retryable) => {
    expect(decodeError(new ConnectError('x', code)).retryable).toBe(retryable)
  })

  it('do not believe an unknown word for retryable', () => {
    const details = [errorInfo({ retryable: 'always' })]
    const refused = decodeError(new ConnectError('x', Code.InvalidArgument, undefined, details))
    expect(refused.retryable).toBe('no')
  })

  it('are decoded once and take anything thrown', () => {
    const error = decodeError(new TypeError('odd'))
    expect(error).toMatchObject({ code: 'UNKNOWN', reason: undefined, message: 'odd' })
    expect(decodeError(error)).toBe(error)
  })

  it('say UNAVAILABLE when nothing listens, and DEADLINE_EXCEEDED when nothing answers', async () => {
    const daemon = await startLyingDaemon({ wallets: { getWallet: () => new Promise(() => undefined) } })
    const { endpoint } = daemon
    using client = createCountersignClient({ endpoint, apiKey: 'csk_x' })
    const late = client.wallets.getWallet({ wallet: 'x' }, { timeoutMs: 50 })
    await expect(late).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED', retryable: 'same_request_id' })
    await daemon[Symbol.asyncDispose]()
    const gone = client.wallets.getWallet({ wallet: 'x' })
    await expect(gone).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: undefined })
  })

  it('keep the API key out of the error', async () => {
    using client = createCountersignClient({ endpoint: '127.0.0.1:1', apiKey: 'csk_verysecret' })
    const error = await client.wallets.getWallet({ wallet: 'x' }).catch((caught: unknown) => caught as CountersignError)
    expect(error).toBeInstanceOf(CountersignError)
    expect(`${JSON.stringify(error)}${String((error as CountersignError).stack)}`).not.toContain('verysecret')
  })
})
