import { describe, expect, it } from 'vitest'
import { encodeBase58 } from '../../src/domain/base58.ts'
import { isFailure } from '../../src/domain/failure.ts'
import { requireSiws, type SiwsExpectation } from '../../src/payload/siws.ts'

const address = new Uint8Array(32).fill(7)
const TEXT = encodeBase58(address)
const nowMs = Date.parse('2026-03-01T12:00:00Z')
const MAINNET = '5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d'
const expected: SiwsExpectation = {
  domains: ['app.example', 'localhost:3000'], address, genesisHash: MAINNET, nonce: 'abcdef0123456789abcdef01', nonceMs: nowMs - 5_000, nowMs,
}
const LINES = [
  'app.example wants you to sign in with your Solana account:', TEXT, '', 'Prove address ownership', '', 'URI: https://app.example/card', 'Version: 1',
  'Chain ID: mainnet', 'Nonce: abcdef0123456789abcdef01', 'Issued At: 2026-03-01T11:59:58Z', 'Expiration Time: 2026-03-01T12:02:00Z',
]
const MESSAGE = LINES.join('\n')
/** As an app sends it that puts everything on one line. */
const LINE = LINES.filter((line) => line !== '').join(' ')

const judge = (text: string, change: Partial<SiwsExpectation> = {}): string => {
  try {
    requireSiws(text, { ...expected, ...change })
    return 'taken'
  } catch (error) {
    if (isFailure(error)) return error.reason
    throw error
  }
}

describe('Sign In With Solana', () => {
  it('is taken in lines, on one line, and without a statement', () => {
    expect(judge(MESSAGE)).toBe('taken')
    expect(judge(LINE)).toBe('taken')
    expect(judge(MESSAGE.replace('Prove address ownership\n\n', '\n'))).toBe('taken')
    expect(judge(LINE.replace(' Prove address ownership', ''))).toBe('taken')
    expect(judge(MESSAGE.replaceAll('app.example', 'localhost:3000').replace('https', 'http'))).toBe('taken')
  })

  it('names its cluster as apps do', () => {
    for (const id of ['mainnet', 'solana:mainnet', '1', `solana:${MAINNET.slice(0, 32)}`]) expect(judge(MESSAGE.replace('mainnet', id)), id).toBe('taken')
    for (const id of ['devnet', 'solana:devnet', '2', 'localnet', '101', `solana:${MAINNET}`]) expect(judge(MESSAGE.replace('mainnet', id)), id).toBe('SIWE_CHAIN_MISMATCH')
    const devnet = { genesisHash: 'EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG' }
    expect(judge(MESSAGE.replace('mainnet', 'devnet'), devnet)).toBe('taken')
    expect(judge(MESSAGE.replace('mainnet', '1'), devnet)).toBe('SIWE_CHAIN_MISMATCH')
    expect(judge(MESSAGE.replace('mainnet', 'localnet'), { genesisHash: TEXT })).toBe('taken')
  })

  const bent: readonly (readonly [string, string, (text: string) => string])[] = [
    ['another domain', 'SIWE_DOMAIN_MISMATCH', (text) => text.replaceAll('app.example', 'app.example.evil.example')],
    ['a URI elsewhere', 'SIWE_DOMAIN_MISMATCH', (text) => text.replace('https://app.example', 'https://evil.example')],
    ['a URI without TLS', 'SIWE_DOMAIN_MISMATCH', (text) => text.replace('https:', 'http:')],
    ['a user in the URI', 'SIWE_DOMAIN_MISMATCH', (text) => text.replace('https://app', 'https://evil.example@app')],
    ['another address', 'SIWE_ADDRESS_MISMATCH', (text) => text.replace(TEXT, encodeBase58(new Uint8Array(32).fill(8)))],
    ['another nonce', 'SIWE_NONCE_MISMATCH', (text) => text.replace('abcdef01 ', 'abcdef02 ').replace('abcdef01\n', 'abcdef02\n')],
    ['an end that is past', 'SIWE_EXPIRED', (text) => text.replace('12:02:00', '11:59:59')],
    ['an end far away', 'SIWE_INVALID', (text) => text.replace('12:02:00', '13:02:00')],
    ['a beginning to come', 'SIWE_NOT_YET_VALID', (text) => text.replace('11:59:58', '12:01:30')],
    ['a beginning before its nonce', 'SIWE_INVALID', (text) => text.replace('11:59:58', '11:58:00')],
    ['a version 2', 'SIWE_INVALID', (text) => text.replace('Version: 1', 'Version: 2')],
    ['no time', 'SIWE_INVALID', (text) => text.replace('2026-03-01T11:59:58Z', 'yesterday')],
    ['something behind its end', 'SIWE_INVALID', (text) => `${text} and more`],
    ['an address that is none', 'SIWE_INVALID', (text) => text.replace(TEXT, 'abc')],
    ['an Ethereum account', 'SIWE_DOMAIN_MISMATCH', (text) => text.replace('Solana account', 'Ethereum account').replace('app.example wants', 'evil.example wants').replace('https://app.example', 'https://evil.example')],
  ]
  it.each(bent)('with %s is %s', (_name, reason, bend) => {
    for (const text of [MESSAGE, LINE]) expect(judge(bend(text)), text === LINE ? 'on one line' : 'in lines').toBe(reason)
  })

  it('has no second reading: fields twice, in the statement, or in another order', () => {
    expect(judge(MESSAGE.replace('\nVersion', '\nURI: https://evil.example\nVersion'))).toBe('SIWE_INVALID')
    expect(judge(LINE.replace(' Version', ' URI: https://evil.example Version'))).toBe('SIWE_INVALID')
    expect(judge(LINE.replace('Prove', 'Nonce: 12345678 Prove'))).toBe('SIWE_INVALID')
    expect(judge(`Hello. ${LINE}`)).toBe('SIWE_INVALID')
    expect(judge(MESSAGE.replaceAll('\n', '\r\n'))).toBe('SIWE_INVALID')
    expect(judge(MESSAGE.replace('Expiration Time: 2026-03-01T12:02:00Z', ''))).toBe('SIWE_INVALID')
    expect(judge(`${MESSAGE}\n${'x'.repeat(5_000)}`)).toBe('SIWE_INVALID')
  })
})

describe('a text of an app’s own', () => {
  const text = `Confirm for app.example that you own ${TEXT} (${expected.nonce}).`

  it('has the page, the address and the nonce as words of their own', () => {
    expect(judge(text)).toBe('taken')
    expect(judge(text.replace('app.example', 'https://app.example/some/page'))).toBe('taken')
    expect(judge(text.replace('app.example', 'app.example.evil.example'))).toBe('SIWE_DOMAIN_MISMATCH')
    expect(judge(text.replace('app.example', 'https://evil.example/app.example'))).toBe('SIWE_DOMAIN_MISMATCH')
    expect(judge(text.replace(TEXT, `${TEXT}x`))).toBe('SIWE_ADDRESS_MISMATCH')
    expect(judge(text.replace(expected.nonce, `${expected.nonce}0`))).toBe('SIWE_NONCE_MISMATCH')
  })

  it('is held to what it says beside', () => {
    expect(judge(`${text} Chain ID: mainnet URI: https://app.example Issued At: 2026-03-01T11:59:58Z Expiration Time: 2026-03-01T12:02:00Z`)).toBe('taken')
    expect(judge(`${text} Chain ID: devnet`)).toBe('SIWE_CHAIN_MISMATCH')
    expect(judge(`${text} URI: https://evil.example`)).toBe('SIWE_DOMAIN_MISMATCH')
    expect(judge(`${text}\nExpiration Time: 2026-03-01T11:59:59Z`)).toBe('SIWE_EXPIRED')
    expect(judge(`${text}\nNot Before: 2026-03-01T12:05:00Z`)).toBe('SIWE_NOT_YET_VALID')
    expect(judge(`${text}\nIssued At: 2026-03-01T11:00:00Z`)).toBe('SIWE_INVALID')
    expect(judge(`${text}\nExpiration Time: soon`)).toBe('SIWE_INVALID')
    expect(judge(`${text} Chain ID: mainnet Chain ID: devnet`)).toBe('SIWE_INVALID')
  })

  it('has no characters that nobody sees', () => {
    for (const hidden of ['\u0000', '\u001b', '\u200b', '\u202e', '\ufeff', '\t']) expect(judge(text + hidden), JSON.stringify(hidden)).toBe('SIWE_INVALID')
    expect(judge(`${text}\nMerci beaucoup, à bientôt.`)).toBe('taken')
  })
})
