/**
 * Ids, contexts and session ids (docs/protocol.md §3). Each binds what two sides must agree on before any
 * secret-dependent value is computed: two sides that differ in an item disagree on the sid first, which is benign.
 */
import { ascii, concatBytes, equalBytes, u16, u32, u8 } from '../hash/encoding.ts'
import { taggedHash } from '../hash/tagged-hash.ts'
import { benign } from './fault.ts'
import { type Alg, NONCE_BYTES, type Role, SHORT_ID_BYTES, SUITE } from './suite.ts'

/** The two parties of a link: hashes of their long-term identity keys, the link's shard, and linkId. */
export type LinkParties = {
  readonly linkId: Uint8Array
  readonly idC: Uint8Array
  readonly idS: Uint8Array
}

export type WalletPurpose = 'dkg' | 'import' | 'fork' | 'refresh' | 'rehome'

/** What wctx binds: one sharing of one key at one epoch on one link. */
export type WalletBinding = {
  readonly alg: Alg
  readonly walletId: Uint8Array
  readonly wEpoch: number
  readonly pointC: Uint8Array
  readonly pointS: Uint8Array
  readonly publicKey: Uint8Array
  readonly chainCode: Uint8Array
}

/**
 * linkId = TH("link/id"; suite, idC, idS, u16 shard)[0..16].
 * @throws ProtocolFault class A when the ids are equal or the shard is not configured.
 */
export function makeLinkParties(idC: Uint8Array, idS: Uint8Array, shard: number, shards = 1): LinkParties {
  if (idC.length !== 32 || idS.length !== 32) throw new RangeError('a party id has 32 bytes')
  if (equalBytes(idC, idS)) throw benign('session', 'a link joins two different parties')
  if (!Number.isInteger(shard) || shard < 0 || shard >= shards) throw benign('session', 'shard out of range')
  const linkId = taggedHash('link/id', u8(SUITE), idC, idS, u16(shard)).subarray(0, SHORT_ID_BYTES)
  return { linkId, idC, idS }
}

/** lctx0: a link epoch before its material exists. */
export function linkContext0(link: LinkParties, lEpoch: number): Uint8Array {
  return taggedHash('lctx0', u8(SUITE), link.linkId, u32(lEpoch), link.idC, link.idS)
}

/** lctx: the material itself; ltr is the transcript over L1..L4 without the conf. */
export function linkContext(lctx0: Uint8Array, ltr: Uint8Array): Uint8Array {
  return taggedHash('lctx', lctx0, ltr)
}

/** wctx0: an operation that makes or replaces a sharing. */
export function walletContext0(link: LinkParties, alg: Alg, purpose: WalletPurpose): Uint8Array {
  return taggedHash('wctx0', u8(SUITE), u8(alg), link.linkId, link.idC, link.idS, ascii(purpose))
}

/** wctx: one sharing at one wallet epoch. No link epoch: renewing a link does not touch wallets. */
export function walletContext(link: LinkParties, wallet: WalletBinding): Uint8Array {
  return taggedHash(
    'wctx',
    u8(SUITE),
    u8(wallet.alg),
    wallet.walletId,
    u32(wallet.wEpoch),
    link.linkId,
    link.idC,
    link.idS,
    wallet.pointC,
    wallet.pointS,
    wallet.publicKey,
    wallet.chainCode,
  )
}

/** The wallet context of the null slot in a link's self-test. */
export function nullWalletContext(lctx: Uint8Array): Uint8Array {
  return taggedHash('wctx/null', lctx)
}

/** plan = TH("plan"; u16 B, wctx_0‖…): the slot → wallet map with pinned points and epochs. */
export function planOf(walletContexts: readonly Uint8Array[]): Uint8Array {
  return taggedHash('plan', u16(walletContexts.length), concatBytes(...walletContexts))
}

/** ctx of a nonce commitment: TH("ctx"; lctx, N_C, plan) for C, TH("ctx"; lctx, N_C, N_S, plan) for S. */
export function nonceContext(...items: readonly Uint8Array[]): Uint8Array {
  return taggedHash('ctx', ...items)
}

/** sid of a link set-up. */
export function linkSid(lctx0: Uint8Array, nonceC: Uint8Array, nonceS: Uint8Array): Uint8Array {
  assertNonces(nonceC, nonceS)
  return taggedHash('sid', lctx0, ascii('link'), nonceC, nonceS)
}

/** sid of a wallet operation; opParams are the items its section lists. */
export function walletSid(
  wctx0: Uint8Array,
  purpose: WalletPurpose,
  nonceC: Uint8Array,
  nonceS: Uint8Array,
  ...opParams: readonly Uint8Array[]
): Uint8Array {
  assertNonces(nonceC, nonceS)
  return taggedHash('sid', wctx0, ascii(purpose), nonceC, nonceS, ...opParams)
}

/** sid of a presign session: material, plan and C's nonce commitment are all inside. */
export function presignSid(
  lctx: Uint8Array,
  nonceC: Uint8Array,
  nonceS: Uint8Array,
  slots: number,
  plan: Uint8Array,
  comC: Uint8Array,
): Uint8Array {
  assertNonces(nonceC, nonceS)
  return taggedHash('sid', lctx, ascii('presign'), nonceC, nonceS, u16(slots), plan, comC)
}

/** sid_ab: one multiplication direction, a the RVOLE sender (base-OT receiver), b the RVOLE receiver. */
export function directionSid(sid: Uint8Array, sender: Role, receiver: Role): Uint8Array {
  return taggedHash('dir', sid, u8(sender), u8(receiver))
}

/** walletId from the sid that made the wallet and its position in the vector. */
export function walletIdOf(sid: Uint8Array, index: number): Uint8Array {
  return taggedHash('wallet/id', sid, u16(index)).subarray(0, SHORT_ID_BYTES)
}

/** presigId from the presign sid and the slot. */
export function presigIdOf(sid: Uint8Array, index: number): Uint8Array {
  return taggedHash('presig', sid, u16(index)).subarray(0, SHORT_ID_BYTES)
}

function assertNonces(nonceC: Uint8Array, nonceS: Uint8Array): void {
  if (nonceC.length !== NONCE_BYTES || nonceS.length !== NONCE_BYTES) throw new RangeError('a nonce has 32 bytes')
}
