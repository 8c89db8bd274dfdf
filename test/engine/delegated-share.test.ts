import { randomBytes } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { ed25519Ready } from '../../src/engine/curve/ed25519.ts'
import { ALG_ED25519, type Alg } from '../../src/engine/dkls23/suite.ts'
import { decodeDelegatedShare, type DelegatedShare, encodeDelegatedShare } from '../../src/engine/sealing/delegated-share.ts'
import { CURVES, walletsOf } from './refresh-fixtures.ts'

beforeAll(() => ed25519Ready())

const id = (length: number): Uint8Array => Uint8Array.from(randomBytes(length))

const shareOf = (alg: Alg): DelegatedShare => {
  const [wallet] = walletsOf(alg, 1, 'delegated share').c
  const { walletId, linkId, publicKey, pointC, pointS, chainCode, share } = wallet!
  return { alg, walletId, linkId, idG: id(32), idD: id(32), publicKey, pointG: pointC, pointD: pointS, chainCode, share }
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8')

describe.each(CURVES)('the share of a delegate as text, %s', (_name, alg, pointBytes) => {
  test('is the keyShare that receivers know, and says what it holds', () => {
    const share = shareOf(alg)
    const text = encodeDelegatedShare(share)
    const { pubkey, secretShare } = JSON.parse(textOf(text)) as { pubkey: string; secretShare: string }
    const layout = Buffer.from(secretShare.slice(4), 'base64url')
    expect(secretShare.slice(0, 4)).toBe('cs1:')
    expect(layout).toHaveLength(162 + 3 * pointBytes)
    expect(layout.toString('base64url')).toBe(secretShare.slice(4))
    expect([layout[0], layout[1]]).toEqual([1, alg])
    expect(Uint8Array.from(layout.subarray(-32))).toEqual(share.share)
    if (alg === ALG_ED25519) expect(pubkey).toBe(Buffer.from(share.publicKey).toString('hex'))
    else expect(pubkey).toMatch(/^04[0-9a-f]{128}$/)
    expect(decodeDelegatedShare(text)).toEqual({ kind: 'own', share })
    // Written anew by somebody on the way: other order, other spaces.
    expect(decodeDelegatedShare(utf8(JSON.stringify({ secretShare, pubkey }, undefined, 2)))).toEqual({ kind: 'own', share })
  })

  test('one that does not hold together is none', () => {
    const share = shareOf(alg)
    const other = shareOf(alg)
    const swapped: Partial<DelegatedShare>[] = [
      { share: other.share }, { share: new Uint8Array(32) }, { share: new Uint8Array(32).fill(0xff) },
      { pointG: share.pointD }, { pointD: share.pointG }, { pointG: other.pointG, share: other.share },
      { publicKey: other.publicKey }, { pointD: new Uint8Array(pointBytes) },
      { pointG: share.pointD, pointD: share.pointG },
    ]
    const [otherWallet] = walletsOf(alg, 2, 'another wallet').c.slice(1)
    swapped.push({ pointD: otherWallet!.pointS }, { publicKey: otherWallet!.publicKey })
    const isSame = (change: Partial<DelegatedShare>): boolean =>
      Object.entries(change).every(([name, value]) => Buffer.compare(value as Uint8Array, share[name as 'share']) === 0)
    for (const change of swapped.filter((one) => !isSame(one))) {
      const names = Object.keys(change).join()
      // secp256k1's own conversion refuses what is no point before there is a text.
      if (change.publicKey !== undefined && change.publicKey.every((byte) => byte === 0)) continue
      expect(decodeDelegatedShare(encodeDelegatedShare({ ...share, ...change })), names).toEqual({ kind: 'malformed' })
    }
    const text = textOf(encodeDelegatedShare(share))
    const { pubkey } = JSON.parse(text) as { pubkey: string }
    const lying = text.replace(pubkey, `${pubkey.slice(0, -1)}${pubkey.endsWith('0') ? '1' : '0'}`)
    expect(decodeDelegatedShare(utf8(lying))).toEqual({ kind: 'malformed' })
  })

  test('every letter of the layout counts', () => {
    const text = encodeDelegatedShare(shareOf(alg))
    const from = textOf(text).indexOf('cs1:') + 4
    const free = new Set<number>()
    for (let at = from; at < text.length - 2; at++) {
      const bent = text.slice()
      bent[at] = bent[at] === 0x41 ? 0x42 : 0x41
      if (decodeDelegatedShare(bent).kind === 'own') free.add(at - from)
    }
    // Ids and the chain code are held to by who knows them; version, points and the share by the text itself.
    const letterAt = (byte: number): number => Math.floor((byte * 4) / 3)
    const bound = [0, 1, 98, 98 + pointBytes, 98 + 2 * pointBytes, 98 + 3 * pointBytes + 32].map(letterAt)
    for (const at of bound) expect(free.has(at + 1), `letter ${at}`).toBe(false)
  })
})

test('a share of another maker is foreign, and anything else malformed', () => {
  expect(decodeDelegatedShare(utf8('{"pubkey":{},"secretShare":"00"}'))).toEqual({ kind: 'foreign' })
  expect(decodeDelegatedShare(utf8('{"secretShare":"abc"}'))).toEqual({ kind: 'foreign' })
  const malformed = ['', 'cs1:', '[]', 'null', '7', '{}', '{"pubkey":"04","secretShare":7}', '{"pubkey":7,"secretShare":"cs1:AAAA"}',
    '{"pubkey":"","secretShare":"cs1:"}', '{"pubkey":"04","secretShare":"cs1:A"}', '{"pubkey":"04","secretShare":"cs1:AAAA"}',
    '{"pubkey":"04","secretShare":"cs1:AA=="}', '{"pubkey":"04","secretShare":"cs1:AAAA"', `{"pubkey":"04","secretShare":"cs1:${'A'.repeat(348)}"}`]
  for (const text of malformed) expect(decodeDelegatedShare(utf8(text)), text).toEqual({ kind: 'malformed' })
})
