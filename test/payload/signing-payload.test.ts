import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ProjectId, WalletId } from '../../src/domain/ids.ts'
import { toHex } from '../../src/payload/bytes.ts'
import type { SigningContent, SigningMethod, SigningPayload } from '../../src/payload/signing-payload.ts'
import {
  encodeSigningPayload,
  MAX_BODY_BYTES,
  MAX_TRANSACTION_BYTES,
  parseSigningPayload,
} from '../../src/payload/signing-payload.ts'
import { refusalOf } from './refusal.ts'

const PROJECT = 'default' as ProjectId
const WALLET = `wal_${'0123456789abcdef'.repeat(2)}` as WalletId
const payloadOf = (method: SigningMethod, content: SigningContent): SigningPayload => ({
  projectId: PROJECT,
  walletId: WALLET,
  method,
  content,
})

const body = fc.uint8Array({ maxLength: 300 })
const digest = fc.uint8Array({ minLength: 32, maxLength: 32 })
const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })
const content = fc.oneof(
  body.map((message) => ['SignMessage', { kind: 'message', message }] as const),
  digest.map((each) => ['SignMessage', { kind: 'digest', digest: each }] as const),
  body.map((json) => ['SignTypedData', { kind: 'typed-data', json }] as const),
  body.map((unsigned) => ['SignTransaction', { kind: 'transaction', unsigned }] as const),
  fc
    .tuple(u64, fc.uint8Array({ minLength: 20, maxLength: 20 }), u64)
    .map(
      ([chainId, address, nonce]) =>
        ['SignAuthorization', { kind: 'authorization', chainId, address, nonce }] as const,
    ),
  digest.map((each) => ['SignDigest', { kind: 'digest', digest: each }] as const),
)
const payload: fc.Arbitrary<SigningPayload> = fc
  .record({
    projectId: fc.stringMatching(/^[a-z][a-z0-9-]{0,62}$/).map((text) => text as ProjectId),
    walletId: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((id) => `wal_${toHex(id).slice(2)}` as WalletId),
    made: content,
  })
  .map(({ made: [method, made], ...ids }) => ({ ...ids, method, content: made }))

describe('signing payloads', () => {
  it('are read back as they were written', () => {
    fc.assert(
      fc.property(payload, (each) => {
        expect(parseSigningPayload(encodeSigningPayload(each))).toEqual(each)
      }),
      { numRuns: 300, seed: 21 },
    )
  })

  it('have one encoding: changed bytes are refused or mean something else', () => {
    fc.assert(
      fc.property(payload, fc.nat(), fc.integer({ min: 0, max: 255 }), fc.nat(2), (each, at, byte, what) => {
        const encoded = encodeSigningPayload(each)
        const place = at % encoded.length
        const tail = what === 2 ? [] : encoded.subarray(place + (what === 0 ? 1 : 0))
        const changed = Uint8Array.from([...encoded.subarray(0, place), ...(what === 2 ? [] : [byte]), ...tail])
        let read: SigningPayload | undefined
        const refusal = refusalOf(() => {
          read = parseSigningPayload(changed)
        })
        if (read === undefined) expect(['INVALID_REQUEST', 'REQUEST_TOO_LARGE']).toContain(refusal?.reason)
        else expect(toHex(encodeSigningPayload(read))).toBe(toHex(changed))
      }),
      { numRuns: 1000, seed: 22 },
    )
  })

  it('has the layout of its comment', () => {
    const encoded = encodeSigningPayload(
      payloadOf('SignMessage', { kind: 'message', message: Uint8Array.of(0xaa, 0xbb) }),
    )
    const project = Buffer.from('default').toString('hex')
    expect(toHex(encoded)).toBe(`0x01000007${project}${'0123456789abcdef'.repeat(2)}02000000aabb`)
  })

  it('writes integers little-endian', () => {
    const authorization = {
      kind: 'authorization',
      chainId: 1n,
      address: new Uint8Array(20).fill(0xee),
      nonce: 258n,
    } as const
    const encoded = toHex(encodeSigningPayload(payloadOf('SignAuthorization', authorization)))
    expect(encoded.slice(-72)).toBe(`0100000000000000${'ee'.repeat(20)}0201000000000000`)
  })

  it('does not share memory with the bytes it was read from', () => {
    const encoded = encodeSigningPayload(payloadOf('SignMessage', { kind: 'message', message: Uint8Array.of(1) }))
    const read = parseSigningPayload(encoded)
    encoded.fill(0)
    expect(read.content).toEqual({ kind: 'message', message: Uint8Array.of(1) })
  })

  const METHODS: SigningMethod[] = [
    'SignMessage',
    'SignTypedData',
    'SignTransaction',
    'SignAuthorization',
    'SignDigest',
  ]
  const CONTENTS: [SigningContent, SigningMethod[]][] = [
    [{ kind: 'message', message: new Uint8Array() }, ['SignMessage']],
    [{ kind: 'typed-data', json: new Uint8Array() }, ['SignTypedData']],
    [{ kind: 'transaction', unsigned: new Uint8Array() }, ['SignTransaction']],
    [{ kind: 'authorization', chainId: 1n, address: new Uint8Array(20), nonce: 0n }, ['SignAuthorization']],
    [{ kind: 'digest', digest: new Uint8Array(32).fill(1) }, ['SignMessage', 'SignDigest']],
  ]
  it.each(
    METHODS.flatMap((method) =>
      CONTENTS.map(([made, by]) => [method, made.kind, made, by.includes(method)] as const),
    ),
  )('%s with a %s', (method, _kind, made, carries) => {
    const refusal = refusalOf(() => encodeSigningPayload(payloadOf(method, made)))
    expect(refusal?.reason).toBe(carries ? undefined : 'INVALID_REQUEST')
    const encoded = encodeSigningPayload(
      payloadOf(CONTENTS.find(([each]) => each === made)?.[1][0] ?? method, made),
    )
    encoded[2] = METHODS.indexOf(method)
    expect(refusalOf(() => parseSigningPayload(encoded))?.reason).toBe(carries ? undefined : 'INVALID_REQUEST')
  })

  it.each<[string, (encoded: Uint8Array) => Uint8Array]>([
    ['nothing', () => new Uint8Array()],
    ['another version', (encoded) => Uint8Array.from(encoded, (byte, at) => (at === 0 ? 2 : byte))],
    ['an unknown kind', (encoded) => Uint8Array.from(encoded, (byte, at) => (at === 1 ? 9 : byte))],
    ['an unknown method', (encoded) => Uint8Array.from(encoded, (byte, at) => (at === 2 ? 9 : byte))],
    ['no project', (encoded) => Uint8Array.from(encoded, (byte, at) => (at === 3 ? 0 : byte))],
    ['a project that is no id', (encoded) => Uint8Array.from(encoded, (byte, at) => (at === 4 ? 0x20 : byte))],
    ['a head alone', (encoded) => encoded.subarray(0, 20)],
    ['a byte that follows', (encoded) => Uint8Array.from([...encoded, 0])],
    ['a byte that is missing', (encoded) => encoded.subarray(0, -1)],
  ])('refuses %s', (_what, change) => {
    const encoded = encodeSigningPayload(
      payloadOf('SignMessage', { kind: 'message', message: Uint8Array.of(1, 2, 3) }),
    )
    expect(refusalOf(() => parseSigningPayload(change(encoded)))?.reason).toBe('INVALID_REQUEST')
  })

  it('bounds the body: 256 KiB, for transactions 1.5 MiB', () => {
    const message = (size: number) => payloadOf('SignMessage', { kind: 'message', message: new Uint8Array(size) })
    const transaction = (size: number) =>
      payloadOf('SignTransaction', { kind: 'transaction', unsigned: new Uint8Array(size) })
    expect(parseSigningPayload(encodeSigningPayload(message(MAX_BODY_BYTES))).content.kind).toBe('message')
    expect(parseSigningPayload(encodeSigningPayload(transaction(MAX_TRANSACTION_BYTES))).content.kind).toBe(
      'transaction',
    )
    expect(refusalOf(() => encodeSigningPayload(message(MAX_BODY_BYTES + 1)))?.reason).toBe('REQUEST_TOO_LARGE')
    expect(refusalOf(() => encodeSigningPayload(transaction(MAX_TRANSACTION_BYTES + 1)))?.reason).toBe(
      'REQUEST_TOO_LARGE',
    )
    const disguised = encodeSigningPayload(transaction(MAX_BODY_BYTES + 1))
    disguised.set([0, 0], 1)
    expect(refusalOf(() => parseSigningPayload(disguised))?.reason).toBe('REQUEST_TOO_LARGE')
  })
})
