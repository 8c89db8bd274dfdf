import { createSecretKey } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { failure, isFailure } from '../../src/domain/failure.ts'
import { createPageTokens } from '../../src/rpc/page-token.ts'

const tokens = createPageTokens(createSecretKey(Buffer.alloc(32, 1)))
const scope = { caller: 'key_1', method: 'S/List', filter: '{"userId":"a"}' }

const refusal = (token: string, from = tokens, within = scope) => {
  try {
    return from.open(within, token)
  } catch (error) {
    return isFailure(error) ? error.reason : error
  }
}

describe('a page token', () => {
  it('gives its cursor back where it was made', () => {
    for (const cursor of ['1', 'wal_x|17', 'grüße', '🂡', 'x'.repeat(500)])
      expect(tokens.open(scope, tokens.seal(scope, cursor))).toBe(cursor)
  })

  it('is empty at both ends of a list', () => {
    expect(tokens.seal(scope, undefined)).toBe('')
    expect(tokens.open(scope, '')).toBeUndefined()
  })

  it('is worth nothing to another caller, RPC, filter or key', () => {
    const token = tokens.seal(scope, '7')
    expect(refusal(token, tokens, { ...scope, caller: 'key_2' })).toBe('PAGE_TOKEN_INVALID')
    expect(refusal(token, tokens, { ...scope, method: 'S/Other' })).toBe('PAGE_TOKEN_INVALID')
    expect(refusal(token, tokens, { ...scope, filter: '{}' })).toBe('PAGE_TOKEN_INVALID')
    expect(refusal(token, createPageTokens(createSecretKey(Buffer.alloc(32, 2))))).toBe('PAGE_TOKEN_INVALID')
    // The parts are told apart by their lengths, not run together.
    expect(refusal(token, tokens, { caller: 'key_1S', method: '/List', filter: scope.filter })).toBe(
      'PAGE_TOKEN_INVALID',
    )
  })

  it('is refused when anything in it is changed, cut off or added', () => {
    const token = tokens.seal(scope, 'cursor')
    const bytes = Buffer.from(token, 'base64url')
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const changed = Buffer.from(bytes)
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
      expect(refusal(changed.toString('base64url'))).toBe('PAGE_TOKEN_INVALID')
    }
    for (const other of [
      token.slice(0, -1),
      `${token}A`,
      `${token}=`,
      ` ${token}`,
      'AAAA',
      '%',
      bytes.subarray(0, 16).toString('base64url'),
    ])
      expect(refusal(other)).toBe('PAGE_TOKEN_INVALID')
    expect(failure('PAGE_TOKEN_INVALID', {}).message).not.toContain('cursor')
  })
})
