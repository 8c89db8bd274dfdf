import { createHmac, hash, sign } from 'node:crypto'
import { generateWalletJwt } from '@coinbase/cdp-sdk/auth'
import { describe, expect, it } from 'vitest'
import { verifyRequestToken } from '../../src/user/request-token.ts'
import { makeToken, requestClaims, type TokenParts, walletKey } from './tokens.ts'

const NOW = 1_700_000_000_500
const URI = 'POST daemon.example:50052/countersign.v1.WalletService/SignMessage'
const BODY = new TextEncoder().encode('a serialized request')
const RAW = { encoding: 'proto', bytes: BODY } as const

const device = walletKey()
const other = walletKey()
const signers = [
  { name: 'other', key: other.publicKey },
  { name: 'device', key: device.publicKey },
]

const judge = (token: string, request: { readonly uri?: string; readonly raw?: typeof RAW } = {}, nowMs = NOW) => {
  const verdict = verifyRequestToken(token, signers, { uri: URI, raw: RAW, ...request }, nowMs)
  return typeof verdict === 'string' ? verdict : verdict.signer.name
}

const claims = (changes: object = {}) => requestClaims(URI, BODY, NOW, { ...changes })
const token = (changes: object = {}, parts: TokenParts = {}) => makeToken(device, { claims: claims(changes), ...parts })
const now = Math.floor(NOW / 1_000)

describe('a token over a request', () => {
  it('names its signer among the keys', () => {
    expect(judge(token())).toBe('device')
    expect(judge(makeToken(other, { claims: claims() }))).toBe('other')
    expect(judge(token({}, { header: { alg: 'ES256' } }))).toBe('device')
  })

  it('made by the published SDK, unmodified, is taken', async () => {
    const requestData = { wallet: 'wal_x', text: 'é<&>', '10': 1, '9': [{ b: 1, a: null }] }
    const made = await generateWalletJwt({
      walletSecret: device.walletSecret,
      requestMethod: 'POST',
      requestHost: 'daemon.example:50052',
      requestPath: '/countersign.v1.WalletService/SignMessage',
      requestData,
    })
    const raw = { encoding: 'json', bytes: new TextEncoder().encode(JSON.stringify(requestData)) } as const
    expect(verifyRequestToken(made, signers, { uri: URI, raw }, Date.now())).toMatchObject({ signer: { name: 'device' } })
    const altered = { ...raw, bytes: new TextEncoder().encode(JSON.stringify({ ...requestData, text: 'é<&]' })) }
    expect(verifyRequestToken(made, signers, { uri: URI, raw: altered }, Date.now())).toBe('body')
  })

  it.each([
    ['is 60 seconds old', { iat: now - 60, nbf: now - 60 }, 'expired'],
    ['is 59 seconds old', { iat: now - 59, nbf: now - 59 }, 'device'],
    ['is of a clock a little ahead', { iat: now + 5, nbf: now + 5 }, 'device'],
    ['is of the future', { iat: now + 6 }, 'not_yet_valid'],
    ['is not valid yet', { nbf: now + 6 }, 'not_yet_valid'],
    ['has an end of its own that has come', { exp: now }, 'expired'],
    ['has an end of its own that has not', { exp: now + 1 }, 'device'],
    ['has claims nobody knows', { sub: 'x' }, 'device'],
  ])('that %s', (_what, changes, verdict) => {
    expect(judge(token(changes), {}, NOW)).toBe(verdict)
  })

  it.each([
    ['another method', { uris: ['POST daemon.example:50052/countersign.v1.WalletService/SignDigest'] }],
    ['another service', { uris: ['POST daemon.example:50052/countersign.v1.AdminService/SignMessage'] }],
    ['another host', { uris: ['POST other.example:50052/countersign.v1.WalletService/SignMessage'] }],
    ['another port', { uris: ['POST daemon.example/countersign.v1.WalletService/SignMessage'] }],
    ['another verb', { uris: ['GET daemon.example:50052/countersign.v1.WalletService/SignMessage'] }],
    ['another case of the method', { uris: ['POST daemon.example:50052/countersign.v1.WalletService/signmessage'] }],
  ])('is not for %s', (_what, changes) => {
    expect(judge(token(changes))).toBe('uris')
  })

  it('is for nothing where the request names no host', () => {
    const uri = 'POST /countersign.v1.WalletService/SignMessage'
    for (const shown of [uri, 'nonsense', ' ', '', URI]) expect(judge(token({ uris: [shown] }), { uri })).toBe('uris')
  })

  it('knows its host in any letter case', () => {
    expect(judge(token({ uris: [URI.replace('daemon', 'DAEMON')] }))).toBe('device')
  })

  it('knows its host with and without the port that its scheme implies', () => {
    const at = (port: string): string => URI.replace(':50052', port)
    for (const [shown, asked] of [['', ':443'], [':443', ''], [':80', ''], ['', ':80']] as const)
      expect(judge(token({ uris: [at(shown)] }), { uri: at(asked) })).toBe('device')
    for (const [shown, asked] of [['', ':444'], [':8443', ':443'], ['', ':4430'], [':80', ':443'], [':443', ':80']] as const)
      expect(judge(token({ uris: [at(shown)] }), { uri: at(asked) })).toBe('uris')
  })

  it('is not for a body that differs in one bit', () => {
    for (let bit = 0; bit < BODY.length * 8; bit++) {
      const altered = Uint8Array.from(BODY)
      altered[bit >> 3]! ^= 1 << (bit & 7)
      expect(judge(token(), { raw: { encoding: 'proto', bytes: altered } })).toBe('body')
    }
    expect(judge(token({ reqHash: hash('sha256', '', 'hex') }))).toBe('body')
    expect(judge(token({ reqHash: undefined }))).toBe('body')
  })

  it('signs nothing that cannot be seen', () => {
    expect(verifyRequestToken(token(), signers, { uri: URI, raw: undefined }, NOW)).toBe('body')
  })
})

const spkiPem = device.publicKey.export({ type: 'spki', format: 'pem' })
const hmac = (key: string | Buffer) => (signed: Buffer) => createHmac('sha256', key).update(signed).digest()
const der = (signed: Buffer) => sign('sha256', signed, device.privateKey)
const sized = (length: number) => () => Buffer.alloc(length, 1)
const p384 = walletKey('P-384')
const p384Sign = (signed: Buffer) => sign('sha384', signed, { key: p384.privateKey, dsaEncoding: 'ieee-p1363' })
const list = (name: string) => `{"alg":"ES256","typ":"JWT",${name}}`

describe('what is no such token', () => {
  const forged: readonly [string, TokenParts][] = [
    ['alg none', { header: { alg: 'none' }, signWith: sized(1) }],
    ['alg None', { header: { alg: 'None' } }],
    ['alg nOnE', { header: { alg: 'nOnE' } }],
    ['HS256 with the public key as PEM', { header: { alg: 'HS256' }, signWith: hmac(spkiPem) }],
    ['HS256 with the public key as DER', { header: { alg: 'HS256' }, signWith: hmac(Buffer.from(device.spki, 'base64')) }],
    ['ES384', { header: { alg: 'ES384' }, signWith: p384Sign }],
    ['no alg', { header: { typ: 'JWT' } }],
    ['alg twice', { header: '{"alg":"none","alg":"ES256"}' }],
    ['a kid', { header: list('"kid":"../../dev/null"') }],
    ['a jwk', { header: list(`"jwk":${JSON.stringify(device.publicKey.export({ format: 'jwk' }))}`) }],
    ['a jku', { header: list('"jku":"https://evil.example/keys"') }],
    ['an x5u', { header: list('"x5u":"https://evil.example/chain"') }],
    ['an x5c', { header: list('"x5c":["MII"]') }],
    ['crit', { header: list('"crit":["b64"],"b64":false') }],
    ['b64', { header: list('"b64":true') }],
    ['__proto__', { header: '{"alg":"ES256","__proto__":{"alg":"none"}}' }],
    ['another typ', { header: { alg: 'ES256', typ: 'at+jwt' } }],
    ['a header that is a list', { header: ['ES256'] }],
    ['a header that is no JSON', { header: 'ES256' }],
    ['claims that are no object', { claims: '"claims"' }],
    ['claims with a claim twice', { claims: JSON.stringify(claims()).replace('{', '{"iat":1,') }],
    ['no uris', { claims: claims({ uris: undefined }) }],
    ['uris as text', { claims: claims({ uris: URI }) }],
    ['two uris', { claims: claims({ uris: [URI, URI] }) }],
    ['no iat', { claims: claims({ iat: undefined }) }],
    ['no nbf', { claims: claims({ nbf: undefined }) }],
    ['iat as text', { claims: claims({ iat: String(now) }) }],
    ['iat with a fraction', { claims: claims({ iat: now + 0.5 }) }],
    ['iat out of range', { claims: JSON.stringify(claims()).replace(/"iat":\d+/, '"iat":1e99') }],
    ['exp as text', { claims: claims({ exp: 'never' }) }],
    ['no jti', { claims: claims({ jti: undefined }) }],
    ['a short jti', { claims: claims({ jti: 'short' }) }],
    ['a jti as a number', { claims: claims({ jti: 1_234_567_890 }) }],
    ['a jti with more than letters', { claims: claims({ jti: 'jti jti jti' }) }],
    ['reqHash in upper case', { claims: claims({ reqHash: hash('sha256', BODY, 'hex').toUpperCase() }) }],
    ['reqHash null', { claims: claims({ reqHash: null }) }],
  ]
  it.each(forged)('%s', (_what, parts) => {
    expect(judge(makeToken(device, { claims: claims(), ...parts }))).toBe('malformed')
  })

  const unsigned: readonly [string, TokenParts][] = [
    ['63 bytes', { signWith: sized(63) }],
    ['65 bytes', { signWith: sized(65) }],
    ['DER', { signWith: der }],
    ['r and s of zero', { signWith: () => Buffer.alloc(64) }],
    ['somebody else', { signWith: (signed) => sign('sha256', signed, { key: walletKey().privateKey, dsaEncoding: 'ieee-p1363' }) }],
    ['another curve', { signWith: p384Sign }],
  ]
  it.each(unsigned)('a signature by or as %s', (_what, parts) => {
    expect(judge(token({}, parts))).toBe('signature')
  })

  it('a text that is not the token, though it decodes to it', () => {
    const good = token()
    const [header = '', body = '', signature = ''] = good.split('.')
    for (const text of [
      `${good}=`,
      `${header}.${body}.${signature.slice(0, 40)} ${signature.slice(40)}`,
      `${header}=.${body}.${signature}`,
      ` ${good}`,
      `${good}\n`,
      `${good}.${signature}`,
      `${header}.${body}`,
      '',
      '..',
      'x'.repeat(20_000),
    ])
      expect(judge(text), text.slice(-20)).toBe('malformed')
    // The last character of 64 bytes has bits to spare.
    const last = signature.at(-1) ?? ''
    const twin = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const spare = twin[twin.indexOf(last) ^ 1] ?? ''
    expect(judge(`${header}.${body}.${signature.slice(0, -1)}${spare}`)).toBe('malformed')
  })

  it('the same token with its signature mirrored is the same token: its jti tells', () => {
    const good = token({ jti: 'the-same-jti' })
    const [header = '', body = '', signature = ''] = good.split('.')
    const bytes = Buffer.from(signature, 'base64url')
    const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
    const s = n - BigInt(`0x${bytes.subarray(32).toString('hex')}`)
    const mirrored = Buffer.concat([bytes.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, '0'), 'hex')])
    const verdict = verifyRequestToken(`${header}.${body}.${mirrored.toString('base64url')}`, signers, { uri: URI, raw: RAW }, NOW)
    expect(verdict).toMatchObject({ tokenId: 'the-same-jti' })
  })
})
