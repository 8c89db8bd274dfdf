/**
 * Splitting a private key for two parties, on its owner's machine: x = x_C + x_S with x_C drawn at random, each half sealed
 * to its party. The cosigner's key is taken under the identity that the client has pinned, never on the daemon's word.
 */
import { type Group, groupOf } from '../engine/curve/group.ts'
import { encodeImportOwner, importAad, type ImportOpening, type ImportOwner } from '../engine/dkls23/import.ts'
import { type Alg, ROLE_C, ROLE_S, type Role } from '../engine/dkls23/suite.ts'
import { equalBytes, secretBytes } from '../engine/hash/encoding.ts'
import { type ImportKey, isVouchedFor } from '../engine/sealing/import-key.ts'
import { KIND_X25519, sealShareTo } from '../engine/sealing/share-envelope.ts'

/** The cosigner's import key is not one that the pinned identity vouches for, or the key is none. Nothing was sent. */
export class ImportRefused extends Error {
  override readonly name = 'ImportRefused'
}

export type ImportKeys = { readonly daemon: ImportKey; readonly cosigner: ImportKey }

export type SplitKey = {
  readonly opening: ImportOpening
  readonly daemonEnvelope: Uint8Array
  readonly cosignerEnvelope: Uint8Array
}

/** @throws ImportRefused: the key is not the pinned cosigner's, has expired, or is good for more than an hour. */
export const assertPinned = ({ daemon, cosigner }: ImportKeys, cosignerId: Uint8Array, nowMs: number): void => {
  if (!isVouchedFor(cosigner, cosignerId, nowMs)) throw new ImportRefused('the import key is not the pinned cosigner’s')
  if (!isVouchedFor(daemon, daemon.partyId, nowMs)) throw new ImportRefused('the import key is not the daemon’s')
  if (equalBytes(daemon.partyId, cosignerId)) throw new ImportRefused('one party says that it is both')
}

const randomScalar = (group: Group): Uint8Array => {
  for (;;) {
    const scalar = crypto.getRandomValues(new Uint8Array(new ArrayBuffer(32)))
    scalar[31] = (scalar[31] ?? 0) & group.topByteMask
    if (group.isCanonicalScalar(scalar) && scalar.some((byte) => byte !== 0)) return scalar
  }
}

/** x − x_C, constant-time; the caller wipes it. */
const otherHalf = (group: Group, x: Uint8Array, xC: Uint8Array): Uint8Array => {
  const negated = group.scalarNegate(xC)
  try {
    return group.scalarAdd(x, negated)
  } finally {
    negated.fill(0)
  }
}

/**
 * @param scalar the private key, 32 bytes little-endian, not zero; only read.
 * @throws ImportRefused as `assertPinned`, and for a scalar that is none.
 */
export const splitKey = (
  alg: Alg,
  scalar: Uint8Array,
  owner: ImportOwner,
  keys: ImportKeys,
  { cosignerId, nowMs }: { readonly cosignerId: Uint8Array; readonly nowMs: number },
): SplitKey => {
  assertPinned(keys, cosignerId, nowMs)
  const group = groupOf(alg)
  const isOne = group.isCanonicalScalar(scalar) && scalar.some((byte) => byte !== 0)
  if (!isOne) throw new ImportRefused('the private key is out of range')
  for (;;) {
    const first = randomScalar(group)
    const second = otherHalf(group, scalar, first)
    try {
      if (second.every((byte) => byte === 0) || equalBytes(first, second)) continue
      return seal({ alg, group, owner, keys }, group.mulBase(scalar), { first, second })
    } finally {
      first.fill(0)
      second.fill(0)
    }
  }
}

type Sealing = { readonly alg: Alg; readonly group: Group; readonly owner: ImportOwner; readonly keys: ImportKeys }

const seal = (
  { alg, group, owner, keys }: Sealing,
  publicKey: Uint8Array,
  { first, second }: { readonly first: Uint8Array; readonly second: Uint8Array },
): SplitKey => {
  const opening: ImportOpening = {
    alg,
    importId: crypto.getRandomValues(new Uint8Array(16)),
    publicKey,
    pointC: group.mulBase(first),
    pointS: group.mulBase(second),
    chainCode: crypto.getRandomValues(new Uint8Array(32)),
  }
  const ownerFields = encodeImportOwner(owner)
  const sealHalf = (role: Role, { partyId, key }: ImportKey, half: Uint8Array): Uint8Array => {
    const ephemeral = crypto.getRandomValues(secretBytes(32) as Uint8Array<ArrayBuffer>)
    try {
      const aad = importAad(opening, role, partyId, ownerFields)
      return sealShareTo({ kind: KIND_X25519, key }, { purpose: 'import', aad, ephemeral }, half)
    } finally {
      ephemeral.fill(0)
    }
  }
  return {
    opening,
    daemonEnvelope: sealHalf(ROLE_C, keys.daemon, first),
    cosignerEnvelope: sealHalf(ROLE_S, keys.cosigner, second),
  }
}
