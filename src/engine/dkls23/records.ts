/**
 * Records at rest (docs/protocol.md §6): the wallet record of 251 bytes (Ed25519: 248), which holds a key share
 * and is stored only inside an AEAD envelope, and the link control row of 187 bytes, which holds no secret. A
 * wallet record is verified against its own points when it is loaded, because a damaged share would look like
 * cheating to the peer.
 */
import { type Group, groupOf } from '../curve/group.ts'
import { concatBytes, equalBytes, readU16, readU64, secretBytes, u16, u32, u64, u8 } from '../hash/encoding.ts'
import { hashJoined, taggedHash } from '../hash/tagged-hash.ts'
import { isZeroScalar } from '../kernel/scalar.ts'
import type { WalletBinding } from './contexts.ts'
import { damagedRecord } from './fault.ts'
import { type Alg, ALG_ED25519, ALG_SECP256K1, ROLE_C, ROLE_S, type Role, SCALAR_BYTES, SUITE } from './suite.ts'
import { BodyReader } from './wire.ts'

const VERSION = 1

export const WALLET_STATES = {
  ACTIVE: 1,
  PENDING: 2,
  FORKED: 3,
  IMPORTED: 4,
  SUSPENDED: 5,
  REVOKED: 6,
  EXPORTED: 7,
  QUARANTINED: 8,
  FROZEN: 9,
} as const
export type WalletState = keyof typeof WALLET_STATES

const WALLET_ORIGINS = { dkg: 1, fork: 2, import: 3 } as const
export type WalletOrigin = keyof typeof WALLET_ORIGINS

export const LINK_STATES = { ACTIVE: 1, SUSPENDED: 2, BURNED: 3 } as const
export type LinkState = keyof typeof LINK_STATES

/** One party's half of a wallet. `share` is the only secret: 32 bytes little-endian. */
export type WalletRecord = WalletBinding & {
  readonly role: Role
  readonly state: WalletState
  readonly linkId: Uint8Array
  readonly minLinkEpoch: number
  readonly share: Uint8Array
  readonly origin: WalletOrigin
  readonly createdAtMs: bigint
  readonly refreshCount: number
}

/** The durable state of a link. Times are milliseconds since the Unix epoch, 0 = never. */
export type LinkRecord = {
  readonly role: Role
  readonly state: LinkState
  readonly linkId: Uint8Array
  readonly lEpoch: number
  readonly idC: Uint8Array
  readonly idS: Uint8Array
  readonly burns: number
  /** The last three strikes. */
  readonly strikeAtMs: readonly [bigint, bigint, bigint]
  /** Set-ups that an operator's relink grant still allows. */
  readonly relinkGrant: number
  readonly eraseDueAtMs: bigint
  readonly lastEraseAtMs: bigint
  readonly createdAtMs: bigint
  readonly renewedAtMs: bigint
  readonly lastBurnAtMs: bigint
}

/** What a PENDING record becomes once it is decided: an imported key or a fork signs nothing before its first refresh. */
export function decidedState({ origin, wEpoch }: Pick<WalletRecord, 'origin' | 'wEpoch'>): 'ACTIVE' | 'IMPORTED' | 'FORKED' {
  if (wEpoch > 0 || origin === 'dkg') return 'ACTIVE'
  return origin === 'import' ? 'IMPORTED' : 'FORKED'
}

/** Whether shares in this state may be replaced. */
export function isRefreshable(state: WalletState): boolean {
  return state === 'ACTIVE' || state === 'IMPORTED' || state === 'FORKED'
}

type Standing = Pick<WalletRecord, 'state' | 'wEpoch'>

/** Whether shares of `wEpoch` may take the place of these: they may be replaced, and are one epoch behind. */
export function isNextOf<T extends Standing>(present: T | undefined, wEpoch: number): present is T {
  return present !== undefined && isRefreshable(present.state) && present.wEpoch === wEpoch - 1
}

export const WALLET_RECORD_BYTES = 251
export const ED_WALLET_RECORD_BYTES = 248
export const LINK_RECORD_BYTES = 187
/** version..minLinkEpoch: stored in the clear as additional data of the envelope and repeated inside. */
export const WALLET_RECORD_AAD_BYTES = 45

/** The record's bytes; holds the share, so the caller seals and then wipes them. */
export function encodeWalletRecord(record: WalletRecord): Uint8Array {
  const content = concatBytes(
    Uint8Array.of(VERSION, SUITE, record.alg, record.role, WALLET_STATES[record.state]),
    record.walletId,
    record.linkId,
    u32(record.wEpoch),
    u32(record.minLinkEpoch),
    record.share,
    record.pointC,
    record.pointS,
    record.publicKey,
    record.chainCode,
    u8(WALLET_ORIGINS[record.origin]),
    u64(record.createdAtMs),
    u16(record.refreshCount),
  )
  try {
    return withChecksum('rec/wallet', content, walletRecordBytes(record.alg))
  } finally {
    content.fill(0)
  }
}

function walletRecordBytes(alg: Alg): number {
  return alg === ALG_ED25519 ? ED_WALLET_RECORD_BYTES : WALLET_RECORD_BYTES
}

/**
 * Reads a record and verifies it: version, suite, checksum, values, x_i·G = X_i, X_C + X_S = PK.
 * @throws ProtocolFault class B with the consequence that the wallet is quarantined; nothing is sent to the peer.
 */
export function decodeWalletRecord(bytes: Uint8Array): WalletRecord {
  const alg = bytes[2]
  if (alg !== ALG_SECP256K1 && alg !== ALG_ED25519) throw damagedRecord('record algorithm')
  const reader = openRecord('rec/wallet', bytes, walletRecordBytes(alg))
  reader.take(1)
  const role = roleIn(reader)
  const state = nameOf(WALLET_STATES, reader.u8())
  const walletId = reader.take(16).slice()
  const linkId = reader.take(16).slice()
  const wEpoch = reader.u32()
  const minLinkEpoch = reader.u32()
  const share = secretBytes(32)
  share.set(reader.take(32))
  const point = () => reader.take(groupOf(alg).pointBytes).slice()
  const [pointC, pointS, publicKey] = [point(), point(), point()]
  const chainCode = reader.take(32).slice()
  const origin = nameOf(WALLET_ORIGINS, reader.u8())
  const createdAtMs = readU64(reader.take(8), 0)
  const refreshCount = readU16(reader.take(2), 0)
  const record: WalletRecord = {
    alg, role, state, walletId, linkId, wEpoch, minLinkEpoch, share, pointC, pointS, publicKey, chainCode, origin,
    createdAtMs, refreshCount,
  }
  try {
    verifyWalletRecord(record)
  } catch (error) {
    share.fill(0)
    throw error
  }
  return record
}

/**
 * x_i·G = X_i and X_C + X_S = PK; the check of §6.3, also made on the copy that a session takes. The verdict follows
 * from these bytes alone, so it is remembered by their digest: a record that is loaded again and again is multiplied
 * out once, one that differs in any bit is verified anew.
 * @throws ProtocolFault class B (quarantine).
 */
export function verifyWalletRecord(record: WalletRecord): void {
  const { alg, role, share, pointC, pointS, publicKey } = record
  const { pointBytes } = groupOf(alg)
  if (share.length !== SCALAR_BYTES || [pointC, pointS, publicKey].some(({ length }) => length !== pointBytes)) {
    throw damagedRecord('length of a value')
  }
  // Who has the digest can test a guess of the share with it, which X_i, public, lets anybody do.
  const parts = [Uint8Array.of(alg, role), share, pointC, pointS, publicKey]
  const digest = Buffer.from(hashJoined('sha256', parts)).toString('hex')
  if (CONSISTENT.has(digest)) return
  assertConsistent(record)
  if (CONSISTENT.size >= MAX_REMEMBERED) CONSISTENT.clear()
  CONSISTENT.add(digest)
}

const CONSISTENT = new Set<string>()
const MAX_REMEMBERED = 4096

function assertConsistent(record: WalletRecord): void {
  const group = groupOf(record.alg)
  const [own, peer] = record.role === ROLE_C ? [record.pointC, record.pointS] : [record.pointS, record.pointC]
  const inRange = group.isCanonicalScalar(record.share) && !isZeroScalar(record.share)
  if (!inRange) throw damagedRecord('share out of range')
  if (!equalBytes(group.mulBase(record.share), own)) throw damagedRecord('share and point differ')
  if (!group.isPoint(peer)) throw damagedRecord('point')
  const sum = sumOrUndefined(group, record.pointC, record.pointS)
  if (sum === undefined || !equalBytes(sum, record.publicKey)) throw damagedRecord('points and public key differ')
}

export function encodeLinkRecord(record: LinkRecord): Uint8Array {
  const content = concatBytes(
    Uint8Array.of(VERSION, SUITE, record.role, LINK_STATES[record.state]),
    record.linkId,
    u32(record.lEpoch),
    record.idC,
    record.idS,
    u16(record.burns),
    ...record.strikeAtMs.map((at) => u64(at)),
    u8(record.relinkGrant),
    u64(record.eraseDueAtMs),
    u64(record.lastEraseAtMs),
    u64(record.createdAtMs),
    u64(record.renewedAtMs),
    u64(record.lastBurnAtMs),
  )
  return withChecksum('rec/link', content, LINK_RECORD_BYTES)
}

/** @throws ProtocolFault class B: length, version, suite, checksum, values. The link is not loaded then. */
export function decodeLinkRecord(bytes: Uint8Array): LinkRecord {
  const reader = openRecord('rec/link', bytes, LINK_RECORD_BYTES)
  const time = () => readU64(reader.take(8), 0)
  return {
    role: roleIn(reader),
    state: nameOf(LINK_STATES, reader.u8()),
    linkId: reader.take(16).slice(),
    lEpoch: reader.u32(),
    idC: reader.take(32).slice(),
    idS: reader.take(32).slice(),
    burns: reader.u16(),
    strikeAtMs: [time(), time(), time()],
    relinkGrant: reader.u8(),
    eraseDueAtMs: time(),
    lastEraseAtMs: time(),
    createdAtMs: time(),
    renewedAtMs: time(),
    lastBurnAtMs: time(),
  }
}

function withChecksum(tag: 'rec/wallet' | 'rec/link', content: Uint8Array, length: number): Uint8Array {
  if (content.length !== length - 32) throw new RangeError('a record has a fixed length')
  return concatBytes(content, taggedHash(tag, content))
}

/** Checks length, version, suite and checksum; the reader stands behind the suite byte. */
function openRecord(tag: 'rec/wallet' | 'rec/link', bytes: Uint8Array, length: number): BodyReader {
  if (bytes.length !== length) throw damagedRecord('record length')
  const content = bytes.subarray(0, length - 32)
  if (content[0] !== VERSION || content[1] !== SUITE) throw damagedRecord('record version or suite')
  if (!equalBytes(taggedHash(tag, content), bytes.subarray(length - 32))) throw damagedRecord('record checksum')
  const reader = new BodyReader(content)
  reader.take(2)
  return reader
}

function roleIn(reader: BodyReader): Role {
  const role = reader.u8()
  if (role !== ROLE_C && role !== ROLE_S) throw damagedRecord('record role')
  return role
}

function nameOf<K extends string>(names: { readonly [P in K]: number }, value: number): K {
  const found = (Object.keys(names) as K[]).find((name) => names[name] === value)
  if (found === undefined) throw damagedRecord('record value')
  return found
}

function sumOrUndefined(group: Group, a: Uint8Array, b: Uint8Array): Uint8Array | undefined {
  try {
    return group.addPoints([a, b])
  } catch {
    return undefined
  }
}
