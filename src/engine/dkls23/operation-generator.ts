/**
 * The only source of secrets, blinds and salts of one protocol operation (docs/protocol.md §2). It hedges a
 * repeating generator: own shares, seeds and clock go in at the start, and the transcript is mixed in after every
 * message of the peer, so that two runs which differ in one received byte share only what was drawn before.
 */
import { type Cipheriv, createCipheriv } from 'node:crypto'
import { type Group, SECP256K1_GROUP } from '../curve/group.ts'
import { ascii, concatBytes, secretBytes, u16, u64, u8 } from '../hash/encoding.ts'
import { taggedHash512 } from '../hash/tagged-hash.ts'
import { areCanonicalScalars, isCanonicalScalar, isZeroScalar } from '../kernel/scalar.ts'
import { type Role, SCALAR_BYTES } from './suite.ts'

/** Randomness and time, passed in by the process that holds the share. */
export type Entropy = {
  /** 64 fresh bytes; 32 of them read from the kernel directly, so that a resumed snapshot does not repeat them. */
  readonly osRandom64: () => Uint8Array
  readonly clock: () => { readonly wallNs: bigint; readonly monotonicNs: bigint }
  /** The public nonce of a session, drawn straight from the operating system. */
  readonly nonce32: () => Uint8Array
}

export type OperationInputs = {
  readonly op: string
  readonly idOwn: Uint8Array
  readonly role: Role
  /** lctx; lctx0 in a set-up, wctx0 in the operations on wallets. */
  readonly context: Uint8Array
  readonly walletContexts?: readonly Uint8Array[]
  /** Own key shares of those wallets, same order. Only read. */
  readonly ownShares?: readonly Uint8Array[]
  /** TH("ote/hk"; own receiver seeds), once material exists. */
  readonly hk?: Uint8Array
}

const ZERO_IV = new Uint8Array(16)
/** What a stream is the encryption of; never written to. */
const ZEROS = new Uint8Array(8192)

/** One operation's generator. Draws are made in the order in which the protocol introduces the values. */
export class OperationGenerator {
  #og: Uint8Array
  #stream: Cipheriv
  #ended = false

  /** og0 = TH512("og/start"; op, idOwn, role, osRand64, clk, ctx, u16 count, wctxs, own shares, hk). */
  constructor(entropy: Entropy, inputs: OperationInputs) {
    const random = entropy.osRandom64()
    if (random.length !== 64) throw new RangeError('osRandom64 gives 64 bytes')
    const { wallNs, monotonicNs } = entropy.clock()
    const contexts = inputs.walletContexts ?? []
    const shares = concatBytes(...(inputs.ownShares ?? []))
    try {
      this.#og = taggedHash512(
        'og/start',
        ascii(inputs.op),
        inputs.idOwn,
        u8(inputs.role),
        random,
        concatBytes(u64(wallNs), u64(monotonicNs)),
        inputs.context,
        u16(contexts.length),
        concatBytes(...contexts),
        shares,
        inputs.hk ?? new Uint8Array(0),
      )
      this.#stream = openStream(this.#og)
    } finally {
      shares.fill(0)
      random.fill(0)
    }
  }

  /** og ← TH512("og/mix"; og, tr): after each received message and before the next draw. Restarts the stream. */
  mix(tr: Uint8Array): void {
    const next = taggedHash512('og/mix', this.#og, tr)
    this.#og.fill(0)
    this.#og = next
    this.#stream.final()
    this.#stream = openStream(next)
  }

  /** The next `length` bytes of AES-256-CTR(key og[0..32], IV 0). The caller owns and wipes them. */
  bytes(length: number): Uint8Array {
    const zeros = length <= ZEROS.length ? ZEROS.subarray(0, length) : new Uint8Array(length)
    const out = this.#stream.update(zeros)
    return new Uint8Array(out.buffer, out.byteOffset, out.byteLength)
  }

  /** Uniform below the group's order by rejection from 32 bytes (of 253 bits for Ed25519), little-endian. */
  scalar(group: Group = SECP256K1_GROUP): Uint8Array {
    for (;;) {
      const candidate = this.bytes(32)
      candidate[31] = (candidate[31] ?? 0) & group.topByteMask
      if (group.isCanonicalScalar(candidate)) return candidate
      candidate.fill(0)
    }
  }

  /** As `scalar`, without zero. */
  nonZeroScalar(group: Group = SECP256K1_GROUP): Uint8Array {
    for (;;) {
      const candidate = this.scalar(group)
      if (!isZeroScalar(candidate)) return candidate
    }
  }

  /** As many scalars as `scalar`, or `nonZeroScalar`, would give one after the other, side by side. */
  scalars(count: number, kind: 'any' | 'non-zero'): Uint8Array {
    const candidates = this.bytes(SCALAR_BYTES * count)
    const isWanted = (scalar: Uint8Array) => kind === 'any' || !isZeroScalar(scalar)
    const at = (bytes: Uint8Array, i: number) => bytes.subarray(i * SCALAR_BYTES, (i + 1) * SCALAR_BYTES)
    const each = Array.from({ length: count }, (_, i) => at(candidates, i))
    if (areCanonicalScalars(candidates) && each.every(isWanted)) return candidates
    const out = secretBytes(candidates.length)
    let found = 0
    for (const candidate of each) {
      if (isCanonicalScalar(candidate) && isWanted(candidate)) at(out, found++).set(candidate)
    }
    candidates.fill(0)
    for (; found < count; found++) {
      const scalar = kind === 'any' ? this.scalar() : this.nonZeroScalar()
      at(out, found).set(scalar)
      scalar.fill(0)
    }
    return out
  }

  /** Ends the operation: the state is overwritten and a further draw throws. */
  wipe(): void {
    if (this.#ended) return
    this.#ended = true
    this.#og.fill(0)
    this.#stream.final()
  }
}

function openStream(og: Uint8Array): Cipheriv {
  return createCipheriv('aes-256-ctr', og.subarray(0, 32), ZERO_IV)
}
