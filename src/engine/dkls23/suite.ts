/**
 * Constants and lengths of suite 0x01 (docs/protocol.md §1). None is negotiated, none comes from configuration.
 */
export const SUITE = 0x01

export const ALG_SECP256K1 = 0x01
export const ALG_ED25519 = 0x02
export type Alg = typeof ALG_SECP256K1 | typeof ALG_ED25519

/** C asks for signatures, S answers. Constants of a link, never taken from a message. */
export const ROLE_C = 0x01
export const ROLE_S = 0x02
export type Role = typeof ROLE_C | typeof ROLE_S

/** κ: bits of the group order. */
const KAPPA = 256
/** λc: computational security, bits of Δ, base OTs per direction. */
export const LAMBDA_C = 128
/** λs: statistical security of the multiplication. */
const LAMBDA_S = 80
/** ξ: OTs per multiplication. */
export const XI = KAPPA + 2 * LAMBDA_S
/** ℓ multiplication inputs (nonce share, key share) and ρ check columns. */
export const ELL = 2
export const RHO = 1
/** Scalars per OT output. */
export const OT_WIDTH = ELL + RHO

export const MAX_SLOTS = 64
export const MAX_DKG_WALLETS = 64
export const MAX_REFRESH_WALLETS = 256
export const MAX_DEPTH = 10

/** Limits of one link epoch: soft ones make C renew, at hard ones S refuses and the material is wiped. */
export const LINK_SLOTS_SOFT = 2 ** 16
export const LINK_SLOTS_HARD = 2 ** 17
export const LINK_AGE_SOFT_MS = 24 * 3_600_000
export const LINK_AGE_HARD_MS = 48 * 3_600_000
/** How far above its own epoch S accepts a proposed one. */
export const LINK_EPOCH_WINDOW = 1024

export const POINT_BYTES = 33
export const SCALAR_BYTES = 32
export const SHORT_ID_BYTES = 16
export const NONCE_BYTES = 32
export const SALT_BYTES = 32
export const HASH_BYTES = 32
/** Δ, an OT seed, an AES block. */
export const BLOCK_BYTES = 16

/** Bytes of one RVOLE message per slot: Ã ‖ η ‖ mh. */
export const ATILDE_BYTES = XI * OT_WIDTH * SCALAR_BYTES
export const RVOLE_SLOT_BYTES = ATILDE_BYTES + SCALAR_BYTES + HASH_BYTES

/** L': bits of one row of the OT extension with B slots: B·ξ, padded to 128, and 128 masking OTs. */
function oteRowBits(slots: number): number {
  return 128 * (Math.ceil((XI * slots) / 128) + 1)
}

/** L'/8. */
export function oteRowBytes(slots: number): number {
  return oteRowBits(slots) / 8
}

/** E: bytes of the OT-extension message: U_0‖…‖U_127 ‖ x̂ ‖ t̂_0‖…‖t̂_127. */
export function oteMessageBytes(slots: number): number {
  return LAMBDA_C * oteRowBytes(slots) + BLOCK_BYTES * (1 + LAMBDA_C)
}

/** Both points of 128 base OTs, and both answers. */
export const BASE_OT_BYTES = 2 * LAMBDA_C * POINT_BYTES
