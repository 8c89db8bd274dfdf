import fc from 'fast-check'
import { SiweMessage as Independent } from 'siwe'
import { createSiweMessage } from 'viem/siwe'
import { describe, expect, it } from 'vitest'
import { formatEvmAddress } from '../../src/payload/address.ts'
import { parseSiweMessage, SiweRefused } from '../../src/payload/siwe.ts'

const ADDRESS = '0x3a11a86Cf218C448bE519728cd3Ac5c741FB3424'
const LINES = [
  'app.example wants you to sign in with your Ethereum account:', ADDRESS, '', 'Prove address ownership', '',
  'URI: https://app.example/delegate', 'Version: 1', 'Chain ID: 59144', 'Nonce: 5f2b1c0d9e8a7f6b5c4d3e2f',
  'Issued At: 2026-11-21T06:00:00.000Z', 'Expiration Time: 2026-11-21T06:02:00.000Z',
]
const USUAL = LINES.join('\n')

const whyNot = (text: string): string => {
  try {
    parseSiweMessage(text)
  } catch (error) {
    if (error instanceof SiweRefused) return error.why
    throw error
  }
  throw new Error(`was taken: ${JSON.stringify(text)}`)
}

describe('a message', () => {
  it('is taken apart', () => {
    const { address, ...rest } = parseSiweMessage(USUAL)
    expect(formatEvmAddress(address)).toBe(formatEvmAddress(new Uint8Array(Buffer.from(ADDRESS.slice(2), 'hex'))))
    expect(rest).toEqual({
      scheme: undefined, domain: 'app.example', statement: 'Prove address ownership', uri: 'https://app.example/delegate',
      chainId: 59_144n, nonce: '5f2b1c0d9e8a7f6b5c4d3e2f', issuedAtMs: Date.UTC(2026, 10, 21, 6), expirationMs: Date.UTC(2026, 10, 21, 6, 2),
      notBeforeMs: undefined, requestId: undefined, resources: [],
    })
  })

  it('may have every part', () => {
    const text = `https://${USUAL}\nNot Before: 2026-11-21T07:00:00+01:00\nRequest ID: a%20b\nResources:\n- urn:x:1\n- https://app.example/#a`
    expect(parseSiweMessage(text)).toMatchObject({
      scheme: 'https', notBeforeMs: Date.UTC(2026, 10, 21, 6), requestId: 'a%20b', resources: ['urn:x:1', 'https://app.example/#a'],
    })
  })

  it('may have no statement', () => {
    const text = [...LINES.slice(0, 3), ...LINES.slice(4)].join('\n')
    expect(parseSiweMessage(text).statement).toBeUndefined()
  })

  const times = { issuedAt: new Date(Date.UTC(2026, 10, 21, 6)), expirationTime: new Date(Date.UTC(2026, 10, 21, 6, 5)) }
  const parts = fc.record({
    domain: fc.constantFrom('app.example', 'localhost:3000', 'a.b-c.example:8443', '127.0.0.1:80'),
    statement: fc.option(fc.stringMatching(/^[A-Za-z0-9 .,:;!?'()-]{1,60}$/), { nil: undefined }),
    chainId: fc.integer({ min: 1, max: 2 ** 31 }),
    nonce: fc.stringMatching(/^[A-Za-z0-9]{8,40}$/),
    uri: fc.constantFrom('https://app.example', 'https://app.example/a?b=c#d', 'http://localhost:3000/'),
    resources: fc.option(fc.array(fc.constantFrom('https://app.example/x', 'urn:uuid:1'), { minLength: 1, maxLength: 3 }), { nil: undefined }),
  })
  it('of two other makers is read as they meant it', () => {
    fc.assert(
      fc.property(parts, (made) => {
        const read = parseSiweMessage(createSiweMessage({ ...made, ...times, address: ADDRESS, version: '1' }))
        expect(read).toMatchObject({ domain: made.domain, uri: made.uri, nonce: made.nonce, chainId: BigInt(made.chainId) })
        const { statement, resources, ...rest } = made
        const optional = { ...(statement === undefined ? {} : { statement }), ...(resources === undefined ? {} : { resources }) }
        const independent = new Independent({
          ...rest, ...optional, version: '1', address: ADDRESS,
          issuedAt: times.issuedAt.toISOString(), expirationTime: times.expirationTime.toISOString(),
        })
        const again = parseSiweMessage(independent.prepareMessage())
        expect(again).toMatchObject({ statement: made.statement, resources: made.resources ?? [], issuedAtMs: times.issuedAt.getTime() })
      }),
      { numRuns: 200 },
    )
  })
})

describe('what is nearly a message', () => {
  const replaced = (from: string, to: string): string => {
    expect(USUAL).toContain(from)
    return USUAL.replace(from, to)
  }
  const without = (line: string): string => LINES.filter((one) => !one.startsWith(line)).join('\n')
  const mutants: readonly (readonly [string, string])[] = [
    ['nothing', ''],
    ['carriage returns', USUAL.replaceAll('\n', '\r\n')],
    ['a carriage return at the end', `${USUAL}\r`],
    ['a line more', `${USUAL}\n`],
    ['a space at the end of a line', replaced('Version: 1', 'Version: 1 ')],
    ['a space in front', ` ${USUAL}`],
    ['a byte order mark', `\uFEFF${USUAL}`],
    ['a domain with a space', replaced('app.example wants', 'Website x wants')],
    ['no domain', replaced('app.example wants', ' wants')],
    ['a user in front of the domain', replaced('app.example wants', 'app.example@evil.example wants')],
    ['a path behind the domain', replaced('app.example wants', 'app.example/x wants')],
    ['a domain of another alphabet', replaced('app.example wants', 'аpp.example wants')],
    ['a domain in fullwidth letters', replaced('app.example wants', 'ａpp.example wants')],
    ['a port that is none', replaced('app.example wants', 'app.example:port wants')],
    ['a scheme that is none', `1http://${USUAL}`],
    ['another sentence', replaced('sign in with your Ethereum', 'sign in with your Solana')],
    ['an address in lower case', replaced(ADDRESS, ADDRESS.toLowerCase())],
    ['an address with a wrong checksum', replaced(ADDRESS, ADDRESS.replace('a11a', 'A11a'))],
    ['an address too short', replaced(ADDRESS, ADDRESS.slice(0, -1))],
    ['an address without 0x', replaced(ADDRESS, ADDRESS.slice(2))],
    ['no empty line behind the address', USUAL.replace(`${ADDRESS}\n\n`, `${ADDRESS}\n`)],
    ['no empty line behind the statement', USUAL.replace('ownership\n\n', 'ownership\n')],
    ['a statement of two lines', replaced('Prove address ownership', 'Prove\naddress')],
    ['a statement beyond ASCII', replaced('Prove', 'Prové')],
    ['a statement with a tab', replaced('Prove address', 'Prove\taddress')],
    ['a field in the statement', replaced('Prove address ownership', 'x\n\nURI: https://evil.example')],
    ['no URI', without('URI')],
    ['a URI without a scheme', replaced('URI: https://app.example/delegate', 'URI: app.example')],
    ['a URI with a space', replaced('/delegate', '/dele gate')],
    ['a URI with a broken escape', replaced('/delegate', '/%zz')],
    ['a URI whose port is none', replaced('https://app.example', 'https://:app.example')],
    ['a URI with two fragments', replaced('/delegate', '/#a#b')],
    ['a URI with a bracket in its path', replaced('/delegate', '/[delegate]')],
    ['no version', without('Version')],
    ['version 2', replaced('Version: 1', 'Version: 2')],
    ['version 01', replaced('Version: 1', 'Version: 01')],
    ['no chain', without('Chain ID')],
    ['a chain in hexadecimal', replaced('Chain ID: 59144', 'Chain ID: 0xe708')],
    ['a chain with a zero in front', replaced('Chain ID: 59144', 'Chain ID: 059144')],
    ['a negative chain', replaced('Chain ID: 59144', 'Chain ID: -1')],
    ['no nonce', without('Nonce')],
    ['a nonce too short', replaced('5f2b1c0d9e8a7f6b5c4d3e2f', '5f2b1c0')],
    ['a nonce with hyphens', replaced('5f2b1c0d9e8a7f6b5c4d3e2f', '5f2b1c0d-9e8a')],
    ['no time', without('Issued At')],
    ['a date alone', replaced('2026-11-21T06:00:00.000Z', '2026-11-21')],
    ['a time without a zone', replaced('06:00:00.000Z', '06:00:00.000')],
    ['a time with a space', replaced('2026-11-21T06:00', '2026-11-21 06:00')],
    ['the 30th of February', replaced('2026-11-21T06:00:00.000Z', '2026-02-30T06:00:00.000Z')],
    ['hour 24', replaced('T06:00:00', 'T24:00:00')],
    ['a time that is a number', replaced('2026-11-21T06:00:00.000Z', '1795240800')],
    ['another order', USUAL.replace(/(Version: 1)\n(Chain ID: 59144)/, '$2\n$1')],
    ['the nonce twice', replaced('Issued At', 'Nonce: aaaaaaaa\nIssued At')],
    ['the expiration twice', `${USUAL}\nExpiration Time: 2026-11-21T06:02:00.000Z`],
    ['the request id in front of not before', `${USUAL}\nRequest ID: a\nNot Before: 2026-11-21T06:00:00Z`],
    ['a resource that is no URI', `${USUAL}\nResources:\n- x y`],
    ['a resource without a hyphen', `${USUAL}\nResources:\nhttps://a.example`],
    ['something behind the resources', `${USUAL}\nResources:\n- urn:x:1\nRequest ID: a`],
    ['a field nobody knows', `${USUAL}\nAmount: 5`],
    ['fields in lower case', replaced('Nonce:', 'nonce:')],
    ['ten megabytes', replaced('Prove', 'a'.repeat(10_000_000))],
    ['too many resources', `${USUAL}\nResources:${'\n- urn:x:1'.repeat(33)}`],
  ]
  it.each(mutants)('with %s is refused', (_name, text) => {
    expect(text).not.toBe(USUAL)
    expect(whyNot(text)).not.toBe('')
  })
})

describe('whatever is taken', () => {
  const FULL = `https://${USUAL}\nNot Before: 2026-11-21T06:00:00Z\nRequest ID: a%20b\nResources:\n- urn:x:1\n- https://app.example/#a`
  const CHARACTERS = [...Array.from(' \n\r\t:/.@?#[]%-+~_0189aAfFzZé\u0430\u200b'), 'URI: ', 'Nonce: ', 'Chain ID: ', 'Expiration Time: ', '- ', '%41', '://']
  const edit = fc.record({
    at: fc.nat(FULL.length), cut: fc.nat(2), put: fc.oneof(fc.constantFrom('', 'a', '7', '.', '-', ':'), fc.constantFrom(...CHARACTERS)),
    lines: fc.option(fc.tuple(fc.nat(20), fc.nat(20)), { nil: undefined, freq: 1 }), isFull: fc.boolean(),
  })
  const apply = (text: string, { at, cut, put, lines }: { at: number; cut: number; put: string; lines: [number, number] | undefined }): string => {
    const edited = text.slice(0, at) + put + text.slice(at + cut)
    if (lines === undefined) return edited
    const all = edited.split('\n')
    const [from, to] = lines.map((line) => line % all.length) as [number, number]
    return all.toSpliced(to, 0, all[from] ?? '').join('\n')
  }

  it('another reader takes, too, and reads the same', () => {
    let taken = 0
    fc.assert(
      fc.property(edit, fc.option(edit, { nil: undefined, freq: 1 }), (first, second) => {
        const once = apply(first.isFull ? FULL : USUAL, first)
        const text = second === undefined ? once : apply(once, second)
        let read: ReturnType<typeof parseSiweMessage>
        try {
          read = parseSiweMessage(text)
        } catch (error) {
          if (error instanceof SiweRefused) return
          throw error
        }
        taken += 1
        const other = new Independent(text)
        const msOf = (time: string | undefined): number | undefined => (time === undefined ? undefined : Date.parse(time))
        expect({
          scheme: other.scheme ?? undefined, domain: other.domain, address: other.address, statement: other.statement ?? undefined, uri: other.uri,
          chainId: BigInt(other.chainId), nonce: other.nonce, issuedAtMs: msOf(other.issuedAt), expirationMs: msOf(other.expirationTime),
          notBeforeMs: msOf(other.notBefore), requestId: other.requestId, resources: other.resources ?? [],
        }).toEqual({ ...read, address: formatEvmAddress(read.address) })
      }),
      { numRuns: 1_500 },
    )
    expect(taken).toBeGreaterThan(100)
  })
})
