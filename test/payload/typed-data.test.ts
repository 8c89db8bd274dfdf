import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { hashTypedData, MAX_TYPED_DATA_BYTES, parseTypedData } from '../../src/payload/typed-data.ts'
import { refusalOf } from './refusal.ts'
import { holding, mail, refusal } from './typed-data-cases.ts'
import { etherss, ours, runTypedDataCampaign, viems } from './typed-data-campaign.ts'
import type { GeneratedTypedData } from './typed-data-generator.ts'

type Vector = { name: string; origin: string; libraries: string[]; typedData: GeneratedTypedData; digest: string }

const { vectors } = JSON.parse(readFileSync(new URL('../vectors/eip712.json', import.meta.url), 'utf8')) as {
  vectors: Vector[]
}

const withoutDomainType = ({ types, ...rest }: GeneratedTypedData): GeneratedTypedData => {
  const { EIP712Domain: _declared, ...structs } = types
  return { ...rest, types: structs }
}

describe('digests', () => {
  it.each(vectors.map((vector) => [vector.name, vector] as const))('%s', (_name, vector) => {
    expect(ours(JSON.stringify(vector.typedData))).toBe(vector.digest)
    const data = withoutDomainType(vector.typedData)
    if (vector.libraries.includes('viem')) expect(viems(data)).toBe(vector.digest)
    if (vector.libraries.includes('ethers')) expect(etherss(data)).toBe(vector.digest)
  })

  it('agrees with viem and ethers on generated typed data', () => {
    runTypedDataCampaign(400, 20_261)
  })

  it('would notice a difference', () => {
    const vector = vectors[0]
    const other = { ...vector?.typedData, message: { ...vector?.typedData.message, contents: 'Hello, Eve!' } }
    expect(ours(JSON.stringify(other))).not.toBe(vector?.digest)
  })

  it('does not depend on spaces, on the order of members, or on types that are not used', () => {
    const { types, primaryType, domain, message } = mail()
    const shuffled = { message, domain, primaryType, types: { Unused: [{ name: 'x', type: 'Mail[]' }], ...types } }
    expect(ours(JSON.stringify(shuffled, null, 4))).toBe(ours(JSON.stringify(mail())))
  })
})

describe('the document', () => {
  it.each<[string, unknown, string]>([
    ['no object', '[]', '$'],
    ['no JSON', '{', '$'],
    ['a duplicate key', JSON.stringify(mail()).replace('"contents":', '"contents":"x","contents":'), '$'],
    ['a duplicate type', JSON.stringify(mail()).replace('"Mail":', '"Mail":[],"Mail":'), '$'],
    ['an unknown member', { ...mail(), extra: 1 }, '$.extra'],
    ['no types', { ...mail(), types: undefined }, 'types'],
    ['no primaryType', { ...mail(), primaryType: undefined }, 'primaryType'],
    ['a primaryType that is no string', { ...mail(), primaryType: 7 }, 'primaryType'],
    ['primaryType EIP712Domain', { ...mail(), primaryType: 'EIP712Domain' }, 'primaryType'],
    ['a primaryType that is not declared', { ...mail(), primaryType: 'Letter' }, 'primaryType'],
    ['a primaryType that is a built-in', { ...mail(), primaryType: 'uint256' }, 'primaryType'],
    ['an array as primaryType', { ...mail(), primaryType: 'Mail[]' }, 'primaryType'],
    ['primaryType __proto__', { ...mail(), primaryType: '__proto__' }, 'primaryType'],
    ['no domain', { ...mail(), domain: undefined }, 'domain'],
    ['no message', { ...mail(), message: undefined }, 'message'],
    ['a message that is null', { ...mail(), message: null }, 'message'],
    ['a message that is a list', { ...mail(), message: [] }, 'message'],
  ])('refuses %s', (_what, data, path) => {
    expect(refusal(data)).toMatchObject({ reason: 'TYPED_DATA_INVALID', facts: { path } })
  })
})

describe('bounded work', () => {
  /** The fastest of three, since others use the machine too. */
  const milliseconds = (call: () => unknown): number => {
    const once = () => {
      const started = performance.now()
      call()
      return performance.now() - started
    }
    return Math.min(once(), once(), once())
  }

  it('refuses more than 64 KiB before it reads', () => {
    const json = Buffer.from(JSON.stringify(holding('string', 'x'.repeat(1024 * 1024))))
    expect(
      milliseconds(() => expect(refusalOf(() => parseTypedData(json))?.facts['path']).toBe('$')),
    ).toBeLessThan(50)
    const full = JSON.stringify(holding('string', ''))
    const padded = full + ' '.repeat(MAX_TYPED_DATA_BYTES - full.length)
    expect(refusal(padded)).toBeUndefined()
    expect(refusal(`${padded} `)).toMatchObject({ facts: { path: '$' } })
  })

  it.each<[string, string]>([
    ['deep objects', '{"a":'.repeat(13_000)],
    ['deep arrays', '['.repeat(65_000)],
    [
      'very many types',
      JSON.stringify({ types: Object.fromEntries(Array.from({ length: 4000 }, (_, n) => [`T${n}`, []])) }),
    ],
    [
      'very many fields',
      JSON.stringify({ types: { A: Array.from({ length: 1500 }, (_, n) => ({ name: `f${n}`, type: 'uint8' })) } }),
    ],
    ['very many keys', JSON.stringify(Object.fromEntries(Array.from({ length: 6000 }, (_, n) => [`k${n}`, n])))],
  ])('refuses %s at once', (_what, json) => {
    expect(milliseconds(() => expect(refusal(json)?.reason).toBe('TYPED_DATA_INVALID'))).toBeLessThan(100)
  })

  it('refuses types whose encodings multiply', () => {
    const width = 8
    const levels = 16
    const types = Object.fromEntries(
      Array.from({ length: width * levels }, (_, index) => {
        const level = Math.floor(index / width)
        const fields = Array.from({ length: width }, (_field, at) => ({
          name: `f${at}`,
          type: level === levels - 1 ? 'uint8' : `S${(level + 1) * width + at}`,
        }))
        return [`S${index}`, fields]
      }),
    )
    const data = { types, primaryType: 'S0', domain: { name: 't' }, message: {} }
    const took = milliseconds(() =>
      expect(refusal(data)).toMatchObject({ facts: { path: 'types', why: 'are too large' } }),
    )
    expect(took).toBeLessThan(100)
  })

  it.each<[string, unknown]>([
    [
      'a thousand structs',
      holding(
        'P[]',
        Array.from({ length: 1024 }, () => ({ s: 'a', n: 1 })),
        {
          P: [
            { name: 's', type: 'string' },
            { name: 'n', type: 'uint8' },
          ],
        },
      ),
    ],
    [
      'thirty thousand integers',
      holding(
        'uint8[][]',
        Array.from({ length: 31 }, () => Array.from({ length: 1000 }, () => 1)),
      ),
    ],
    [
      'twenty thousand empty arrays',
      holding(
        'uint8[][][]',
        Array.from({ length: 20 }, () => Array.from({ length: 1000 }, () => [])),
      ),
    ],
  ])('hashes %s in bounded time', (_what, data) => {
    const json = Buffer.from(JSON.stringify(data))
    expect(json.length).toBeLessThanOrEqual(MAX_TYPED_DATA_BYTES)
    expect(milliseconds(() => hashTypedData(parseTypedData(json)))).toBeLessThan(300)
  })
})
