/**
 * Both sides of a refresh once more (docs/protocol.md §12), from the text, in BigInt and with other libraries; and
 * with what a cheater may bend. Shares nothing with the engine but the form of a wallet record.
 */
import { createHash } from 'node:crypto'
import { ed25519 } from '@noble/curves/ed25519.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import type { LinkParties } from '../../src/engine/dkls23/contexts.ts'
import type { WalletRecord } from '../../src/engine/dkls23/records.ts'
import { fromLe, toLe } from './bigint-reference.ts'

const cat = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts))
const text = (value: string) => Buffer.from(value, 'ascii')
const u8 = (value: number) => Uint8Array.of(value)
const u16 = (value: number) => toLe(BigInt(value), 2)
const u32 = (value: number) => toLe(BigInt(value), 4)

function th(algorithm: 'sha256' | 'sha512', tag: string, items: readonly Uint8Array[]): Uint8Array {
  const name = text(`countersign/dkls2p/v2/${tag}`)
  const body = items.map((item) => cat(u32(item.length), item))
  const preimage = cat(u8(name.length), name, u8(items.length), ...body)
  return new Uint8Array(createHash(algorithm).update(preimage).digest())
}
const TH = (tag: string, ...items: readonly Uint8Array[]) => th('sha256', tag, items)

/** The two curves under one face. */
type Curve = {
  readonly order: bigint
  readonly base: (k: bigint) => Uint8Array
  readonly mul: (k: bigint, point: Uint8Array) => Uint8Array
  readonly add: (a: Uint8Array, b: Uint8Array) => Uint8Array
}
const SECP: Curve = {
  order: secp256k1.Point.Fn.ORDER,
  base: (k) => secp256k1.Point.BASE.multiply(k).toBytes(true),
  mul: (k, point) => secp256k1.Point.fromBytes(point).multiply(k).toBytes(true),
  add: (a, b) => secp256k1.Point.fromBytes(a).add(secp256k1.Point.fromBytes(b)).toBytes(true),
}
const ED: Curve = {
  order: ed25519.Point.Fn.ORDER,
  base: (k) => ed25519.Point.BASE.multiply(k).toBytes(),
  mul: (k, point) => ed25519.Point.fromBytes(point).multiply(k).toBytes(),
  add: (a, b) => ed25519.Point.fromBytes(a).add(ed25519.Point.fromBytes(b)).toBytes(),
}
export const curveOf = (alg: number): Curve => (alg === 1 ? SECP : ED)
const modulo = (value: bigint, order: bigint) => ((value % order) + order) % order

type Half = { readonly share: bigint; readonly pointC: Uint8Array; readonly pointS: Uint8Array }
type ProofBinding = {
  readonly sid: Uint8Array
  readonly opening: Uint8Array
  readonly role: number
  readonly index: number
  readonly walletId: Uint8Array
}

/** Where a cheater departs from the text. */
export type Bend = {
  /** What its proofs are bound to. */
  readonly binding?: (honest: ProofBinding) => ProofBinding
  /** The old share it believes to have, instead of the record's. */
  readonly guess?: bigint
  /** ρ as it computes it. */
  readonly rho?: (honest: bigint) => bigint
  /** The seed it opens, other than the one it committed to. */
  readonly openedSeed?: Uint8Array
  /** E as it commits to it, opens it and sends it. */
  readonly ephemeral?: Uint8Array
  /** Swaps X' of the own and of the other side, in the confirmation. */
  readonly swapConfPoints?: boolean
}

/** What the messages are for: a refresh, or a fork for a delegate over a link of its own. */
export type ReferencePurpose = {
  readonly name: 'refresh' | 'fork'
  readonly agreed: Uint8Array
}
const REFRESH: ReferencePurpose = { name: 'refresh', agreed: new Uint8Array(0) }

/** The id of the new wallet of a fork. */
export const forkedWalletId = (sid: Uint8Array): Uint8Array => TH('wallet/id', sid, u16(0)).slice(0, 16)

/** One side. The randomness is a hash of `seed`. */
export class ReferenceRefresh {
  readonly #purpose: ReferencePurpose
  readonly #link: LinkParties
  readonly #role: 1 | 2
  readonly #records: readonly WalletRecord[]
  readonly #bend: Bend
  readonly #curve: Curve
  readonly #wctx0: Uint8Array
  readonly #random: (what: string) => Uint8Array
  #halves: readonly Half[] = []
  #confS: Uint8Array = new Uint8Array(0)
  #tr: Uint8Array = new Uint8Array(32)
  #openingOfF3: Uint8Array = new Uint8Array(0)
  #f1: Uint8Array = new Uint8Array(0)
  sid: Uint8Array = new Uint8Array(32)

  constructor(
    link: LinkParties,
    role: 1 | 2,
    records: readonly WalletRecord[],
    seed: string,
    bend: Bend = {},
    purpose: ReferencePurpose = REFRESH,
  ) {
    this.#purpose = purpose
    this.#link = link
    this.#role = role
    this.#records = records
    this.#bend = bend
    const alg = records[0]?.alg ?? 1
    this.#curve = curveOf(alg)
    this.#wctx0 = TH('wctx0', u8(1), u8(alg), link.linkId, link.idC, link.idS, text(purpose.name))
    this.#random = (what) => createHash('sha256').update(`${seed}/${what}`).digest()
  }

  /** The old shares turned into the next ones. */
  get shares(): readonly bigint[] {
    return this.#halves.map(({ share }) => share)
  }

  get points(): readonly Pick<Half, 'pointC' | 'pointS'>[] {
    return this.#halves
  }

  f1(): Uint8Array {
    const nonce = this.#random('nonce')
    const com = TH(`com/${this.#purpose.name}`, u8(1), cat(this.#wctx0, nonce), cat(this.#random('seed'), this.#ephemeral()), this.#random('salt'))
    const entries = this.#records.map(({ walletId, wEpoch }) => cat(walletId, u32(wEpoch)))
    this.#f1 = cat(nonce, u16(entries.length), ...entries, com)
    this.#hash(1, 0x30, this.#f1)
    return this.#f1
  }

  f2(f1: Uint8Array): Uint8Array {
    this.#f1 = f1
    this.#hash(1, 0x30, f1)
    const body = cat(this.#random('nonce'), this.#random('seed'), this.#ephemeral())
    this.#fixSid(body.subarray(0, 32))
    this.#hash(2, 0x31, body)
    return body
  }

  /** @param nonceSeed names the nonces of the proofs: two of them are two proofs under one opening. */
  f3(f2: Uint8Array, nonceSeed = ''): Uint8Array {
    this.#fixSid(f2.subarray(0, 32))
    this.#hash(2, 0x31, f2)
    const seed = this.#bend.openedSeed ?? this.#random('seed')
    const opened = cat(seed, this.#ephemeral(), this.#random('salt'))
    this.#toss(seed, f2.subarray(32, 64), f2.subarray(64))
    const content = cat(opened, ...this.#prove(this.#opening(opened), nonceSeed))
    this.#hash(1, 0x32, content)
    this.#confS = this.#conf(2)
    return cat(content, this.#conf(1))
  }

  /** F4, whatever F3 proves. */
  f4(f3: Uint8Array): Uint8Array {
    const openedBytes = 64 + this.#ephemeral().length
    const opened = f3.subarray(0, openedBytes)
    this.#toss(opened.subarray(0, 32), this.#random('seed'), opened.subarray(32, openedBytes - 32))
    this.#openingOfF3 = this.#opening(opened)
    const proofs = this.#prove(this.#openingOfF3)
    this.#hash(1, 0x32, f3.subarray(0, -32))
    return cat(...proofs, this.#conf(2))
  }

  /** e of C's proof for wallet `index` in an F3 that `f4` has answered. */
  challengeOfF3(index: number, f3: Uint8Array): bigint {
    const openedBytes = 64 + this.#ephemeral().length
    const noncePoint = f3.subarray(openedBytes + index * (openedBytes - 32)).subarray(0, openedBytes - 64)
    const { walletId } = this.#records[index] ?? { walletId: new Uint8Array(0) }
    const point = this.#halves[index]?.pointC ?? new Uint8Array(0)
    return this.#h2s('refresh/pok', this.sid, this.#openingOfF3, u8(1), u16(index), walletId, point, noncePoint)
  }

  accepts(f4: Uint8Array): boolean {
    return Buffer.from(f4.subarray(-32)).equals(this.#confS)
  }

  #scalar(what: string): bigint {
    return (fromLe(this.#random(what)) % (this.#curve.order - 1n)) + 1n
  }

  #ephemeral(): Uint8Array {
    return this.#bend.ephemeral ?? this.#curve.base(this.#scalar('e'))
  }

  #hash(sender: number, type: number, body: Uint8Array): void {
    this.#tr = TH('tr', this.#tr, u8(sender), u8(this.#typeOf(type)), body)
  }

  /** 0x30–0x34 of a refresh are 0x40–0x44 of a fork. */
  #typeOf(type: number): number {
    return this.#purpose.name === 'fork' ? type + 0x10 : type
  }

  #opening(opened: Uint8Array): Uint8Array {
    return TH('tr', this.#tr, u8(1), u8(this.#typeOf(0x32)), opened)
  }

  #fixSid(nonceS: Uint8Array): void {
    const { linkId, idC, idS } = this.#link
    const product = this.#records.map((r) => {
      const points = [r.pointC, r.pointS, r.publicKey, r.chainCode]
      const wctx = TH('wctx', u8(1), u8(r.alg), r.walletId, u32(r.wEpoch), linkId, idC, idS, ...points)
      return cat(r.walletId, u32(r.wEpoch), wctx)
    })
    const nonceC = this.#f1.subarray(0, 32)
    const { name, agreed } = this.#purpose
    this.sid = TH('sid', this.#wctx0, text(name), nonceC, nonceS, u16(product.length), cat(...product, agreed))
  }

  #h2s(tag: string, ...items: readonly Uint8Array[]): bigint {
    return fromLe(th('sha512', tag, items)) % this.#curve.order
  }

  #toss(seedC: Uint8Array, seedS: Uint8Array, peerPoint: Uint8Array): void {
    const { order, base, mul, add } = this.#curve
    const z = mul(this.#scalar('e'), peerPoint)
    const { name } = this.#purpose
    const tail = name === 'fork' ? [forkedWalletId(this.sid)] : []
    this.#halves = this.#records.map((record, index) => {
      const { walletId, wEpoch } = record
      const honest = this.#h2s(
        'refresh/rho', this.sid, text(name), u16(index), seedC, seedS, z, walletId, u32(wEpoch), ...tail,
      )
      const rho = modulo(this.#bend.rho?.(honest) ?? honest, order)
      const old = this.#bend.guess ?? fromLe(record.share)
      const share = modulo(this.#role === 1 ? old + rho : old - rho, order)
      return { share, pointC: add(record.pointC, base(rho)), pointS: add(record.pointS, base(order - rho)) }
    })
  }

  #prove(opening: Uint8Array, nonceSeed = ''): Uint8Array[] {
    const { order, base } = this.#curve
    return this.#halves.map((half, index) => {
      const walletId = this.#records[index]?.walletId ?? new Uint8Array(0)
      const honest = { sid: this.sid, opening, role: this.#role, index, walletId }
      const bound = this.#bend.binding?.(honest) ?? honest
      const a = this.#scalar(`a${index}${nonceSeed}`)
      const own = this.#role === 1 ? half.pointC : half.pointS
      const { sid, role } = bound
      const e = this.#h2s('refresh/pok', sid, bound.opening, u8(role), u16(bound.index), bound.walletId, own, base(a))
      return cat(base(a), toLe(modulo(a + e * half.share, order)))
    })
  }

  #conf(role: number): Uint8Array {
    const swap = this.#bend.swapConfPoints === true
    const points = this.#halves.flatMap(({ pointC, pointS }) => (swap ? [pointS, pointC] : [pointC, pointS]))
    return TH('refresh/conf', this.sid, u8(role), this.#tr, u16(points.length), cat(...points))
  }
}
