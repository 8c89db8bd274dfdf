/**
 * Online signing (docs/protocol.md §10): one message each way over a presignature, whose nonce is re-randomised by
 * a hash of everything that is signed. w_i is the first value that depends on the digest and on a share: neither
 * `startSign` (C) nor `answerSign` (S) is called before that side's intent row is durable.
 *
 *   C: (signingContext)  [presignature out of the map, TX1]  startSign → 0x20   finishSign(0x21) → signature
 *   S: decodeSignRequest → [presignature out of the map; reqId] → assertRequestScalars → [presignature belongs]
 *      → agreeOnSigning → [fences, policy, TX1] → answerSign → 0x21
 */
import { decompress, mulPublic, pointX, recoverPoint, verifySignature } from '../curve/secp256k1.ts'
import { equalBytes } from '../hash/encoding.ts'
import { hashToScalar, taggedHash } from '../hash/tagged-hash.ts'
import {
  isCanonicalScalar,
  isHighScalar,
  isZeroScalar,
  scalarAdd,
  scalarInvertPublic,
  scalarMul,
  scalarNegate,
  scalarReduceBe32,
} from '../kernel/scalar.ts'
import { type LinkParties, type WalletBinding, walletContext } from './contexts.ts'
import { type ChildKey, deriveChild } from './derive.ts'
import { benign, degenerate, invalidFinalSignature } from './fault.ts'
import { type OneShot, spend } from './one-shot.ts'
import { assertBelongs, type Presignature, wipePresignature } from './presignature.ts'
import {
  decodeSignResponse,
  type EcdsaSignature,
  encodeSignRequest,
  encodeSignResponse,
  type SignRequest,
} from './sign-messages.ts'
import { assertScalar } from './wire.ts'

/** Everything public that both sides derive for one signature; a difference in any item shows in the echo. */
export type SigningContext = {
  readonly digest: Uint8Array
  /** m mod q. */
  readonly message: Uint8Array
  readonly child: ChildKey
  readonly delta: Uint8Array
  /** R' = δ·R. */
  readonly noncePoint: Uint8Array
  /** r' = x(R') mod q, a scalar. */
  readonly r: Uint8Array
  readonly echo: Uint8Array
}

export type SigningInputs = {
  readonly link: LinkParties
  readonly wallet: WalletBinding
  /** m, 32 bytes, derived by this side from the typed payload. */
  readonly digest: Uint8Array
  readonly path: readonly number[]
  /** The path's key where the caller has it cached. */
  readonly child?: ChildKey
}

/** C after the request. */
export type SignC = OneShot & { readonly reqId: Uint8Array; readonly context: SigningContext }

/**
 * Derives δ, R', r' and the echo for one presignature.
 * @throws ProtocolFault class A policy_denied: a digest that is 0 mod q, a refused path; class B: r' = 0, δ = 0.
 */
export function signingContext(
  inputs: SigningInputs,
  presignature: Pick<Presignature, 'presigId' | 'noncePoint' | 'noncePointFull'>,
): SigningContext {
  const { link, wallet, digest, path } = inputs
  const message = signableScalar(digest)
  const child = inputs.child ?? deriveChild(wallet.publicKey, wallet.chainCode, path)
  const wctx = knownWalletContext(link, wallet)
  const { presigId } = presignature
  const delta = hashToScalar(
    'sign/delta',
    wctx,
    presigId,
    child.publicKey,
    presignature.noncePoint,
    digest,
    child.tweak,
  )
  const noncePoint = mulPublic(delta, presignature.noncePointFull)
  const r = scalarReduceBe32(pointX(noncePoint))
  if (isZeroScalar(r)) throw degenerate('r is zero')
  const echo = taggedHash('sign/echo', wctx, presigId, child.publicKey, noncePoint, digest, child.tweak)
  return { digest, message, child, delta, noncePoint, r, echo: echo.subarray(0, 16) }
}

/**
 * m mod q. @throws ProtocolFault class A policy_denied for a digest that is 0 mod q, RangeError for another
 * length.
 */
export function signableScalar(digest: Uint8Array): Uint8Array {
  if (digest.length !== 32) throw new RangeError('a digest has 32 bytes')
  const message = scalarReduceBe32(digest)
  if (isZeroScalar(message)) throw benign('policy_denied', 'digest is zero modulo the group order')
  return message
}

/**
 * C makes the request, after its intent row is durable. The presignature was taken out of its map before and is
 * wiped here, whatever happens.
 */
export function startSign(
  inputs: SigningInputs & {
    readonly reqId: Uint8Array
    readonly payload: Uint8Array
    /** What `signingContext` gave for these inputs and this presignature, where it was asked before. */
    readonly context?: SigningContext | undefined
  },
  presignature: Presignature,
): { readonly state: SignC; readonly body: Uint8Array } {
  try {
    assertBelongs(presignature, inputs.link.linkId, inputs.wallet.walletId, inputs.wallet.wEpoch)
    const context = inputs.context ?? signingContext(inputs, presignature)
    const body = encodeSignRequest({
      linkId: inputs.link.linkId,
      walletId: inputs.wallet.walletId,
      wEpoch: inputs.wallet.wEpoch,
      presigId: presignature.presigId,
      reqId: inputs.reqId,
      digest: inputs.digest,
      path: inputs.path,
      childKey: context.child.publicKey,
      echo: context.echo,
      w: partialSignature(context, presignature),
      u: presignature.u,
      payload: inputs.payload,
    })
    return { state: { spent: false, reqId: inputs.reqId, context }, body }
  } finally {
    wipePresignature(presignature)
  }
}

/**
 * C takes 0x21 and verifies the signature under PK'.
 * @throws ProtocolFault class C with wallet suspension and no strike: an invalid signature, s in the high half, a
 *   recid above 3 or one that does not recover PK'; class C: length; class A: the answer to another request.
 */
export function finishSign(state: SignC, body: Uint8Array): EcdsaSignature {
  spend(state)
  const { reqId, signature } = decodeSignResponse(body)
  if (!equalBytes(reqId, state.reqId)) throw benign('session', 'answer to another request')
  assertFinalSignature(state.context, signature)
  return signature
}

/** S: w_C and u_C are canonical. Comes after the presignature was taken and reqId was looked up. Class C. */
export function assertRequestScalars(request: Pick<SignRequest, 'w' | 'u'>): void {
  assertScalar(request.w)
  assertScalar(request.u)
}

/**
 * S derives its own context and compares m, PK' and the echo with the request. Nothing here depends on a share.
 * @param inputs.digest m as S derives it from the payload; inputs.path the request's.
 * @throws ProtocolFault class A disagreement: an alert, never a strike.
 */
export function agreeOnSigning(
  inputs: SigningInputs,
  request: Pick<SignRequest, 'digest' | 'childKey' | 'echo'>,
  presignature: Pick<Presignature, 'presigId' | 'noncePoint' | 'noncePointFull'>,
): SigningContext {
  if (!equalBytes(inputs.digest, request.digest)) throw benign('disagreement', 'digest differs')
  const context = signingContext(inputs, presignature)
  if (!equalBytes(context.child.publicKey, request.childKey)) throw benign('disagreement', 'key differs')
  if (!equalBytes(context.echo, request.echo)) throw benign('disagreement', 'echo differs')
  return context
}

/**
 * S completes the signature, after its intent row is durable, and verifies it before it leaves. The presignature
 * is wiped, whatever happens.
 * @returns the signature and the body of 0x21.
 * @throws ProtocolFault class C with wallet suspension and no strike when the signature does not verify.
 */
export function answerSign(
  context: SigningContext,
  request: Pick<SignRequest, 'reqId' | 'w' | 'u'>,
  presignature: Presignature,
): { readonly signature: EcdsaSignature; readonly body: Uint8Array } {
  let w: Uint8Array | undefined
  try {
    w = partialSignature(context, presignature)
    const signature = combine(context, request, { w, u: presignature.u })
    const { r, s } = signature
    if (!verifySignature(r, s, context.digest, decompressed(context.child.publicKey))) throw invalidFinalSignature()
    return { signature, body: encodeSignResponse(request.reqId, signature) }
  } finally {
    w?.fill(0)
    wipePresignature(presignature)
  }
}

/** w_i = (m + r'·t)·φ_i + r'·v_i mod q. */
function partialSignature(
  context: Pick<SigningContext, 'message' | 'r' | 'child'>,
  presignature: Pick<Presignature, 'phi' | 'v'>,
): Uint8Array {
  const { message, r, child } = context
  const factor = scalarAdd(message, scalarMul(r, child.tweak))
  const left = scalarMul(factor, presignature.phi)
  const right = scalarMul(r, presignature.v)
  try {
    return scalarAdd(left, right)
  } finally {
    left.fill(0)
    right.fill(0)
  }
}

/**
 * s = (w_C + w_S)·(δ·(u_C + u_S))^-1, then low-s with the recovery id that goes with it. All values are public
 * now.
 * @throws ProtocolFault class C with wallet suspension when U or s is zero.
 */
export function combine(
  context: Pick<SigningContext, 'delta' | 'noncePoint' | 'r'>,
  c: { readonly w: Uint8Array; readonly u: Uint8Array },
  s: { readonly w: Uint8Array; readonly u: Uint8Array },
): EcdsaSignature {
  const divisor = scalarMul(context.delta, scalarAdd(c.u, s.u))
  if (isZeroScalar(divisor)) throw invalidFinalSignature()
  const full = scalarMul(scalarAdd(c.w, s.w), scalarInvertPublic(divisor))
  if (isZeroScalar(full)) throw invalidFinalSignature()
  const high = isHighScalar(full)
  const low = high ? scalarNegate(full) : full
  const recid = recoveryIdOf(context.noncePoint) ^ (high ? 1 : 0)
  return { r: context.r.toReversed(), s: low.toReversed(), recid }
}

/** Bit 0: parity of y(R'); bit 1: x(R') ≥ q. */
export function recoveryIdOf(noncePoint: Uint8Array): number {
  const odd = (noncePoint[0] ?? 0) & 1
  const overflow = isCanonicalScalar(pointX(noncePoint).toReversed()) ? 0 : 2
  return odd | overflow
}

/**
 * §10.3: s in the low half, and the key that (r, s, recid) recovers over the digest is PK', which is to say that the
 * signature verifies under PK' and recid is its own. Its r is another than that of this try where S answers a repetition
 * with what it signed before (§10.2).
 * @throws ProtocolFault class C with wallet suspension unless (r, s, recid) is exactly right for the context.
 */
function assertFinalSignature(context: SigningContext, signature: EcdsaSignature): void {
  if (isHighScalar(signature.s.toReversed())) throw invalidFinalSignature()
  const recovered = recoverPoint(signature.r, signature.s, signature.recid, context.digest)
  if (recovered === undefined || !equalBytes(recovered, context.child.publicKey)) throw invalidFinalSignature()
}

/** 65 bytes of the keys that were signed under, kept as long as the 33 bytes are, which are never written to. */
const knownPoints = new WeakMap<Uint8Array, Uint8Array>()

function decompressed(publicKey: Uint8Array): Uint8Array {
  const known = knownPoints.get(publicKey)
  if (known !== undefined) return known
  const point = decompress(publicKey)
  knownPoints.set(publicKey, point)
  return point
}

/** wctx of the wallets that sign, kept as long as their bindings, which are never written to. */
const knownContexts = new WeakMap<WalletBinding, { readonly link: LinkParties; readonly wctx: Uint8Array }>()

function knownWalletContext(link: LinkParties, wallet: WalletBinding): Uint8Array {
  const known = knownContexts.get(wallet)
  if (known?.link === link) return known.wctx
  const wctx = walletContext(link, wallet)
  knownContexts.set(wallet, { link, wctx })
  return wctx
}
