/**
 * Online Ed25519 signing (docs/protocol.md §18): one message each way over a presignature. z_i is the first value
 * that depends on the message and on a share: neither `startEdSign` (C) nor `answerEdSign` (S) is called before
 * that side's intent row is durable.
 *
 *   C: [presignature out of the map, TX1]  startEdSign → 0x22   finishEdSign(0x23) → signature
 *   S: decodeEdSignRequest → [presignature out of the map; reqId] → assertEdRequestScalar → assertBelongs
 *      → agreeOnEdSigning → [fences, policy, TX1] → answerEdSign → 0x23
 *
 * The share is an input of the step, opened for it and wiped by its owner: a presignature holds nonces only.
 */
import { isCanonicalScalar, scalarAdd, scalarMul, verifySignature } from '../curve/ed25519.ts'
import { ED25519_GROUP } from '../curve/group.ts'
import type { LinkParties, WalletBinding } from '../dkls23/contexts.ts'
import { benign, invalidFinalSignature } from '../dkls23/fault.ts'
import { type OneShot, spend } from '../dkls23/one-shot.ts'
import { ALG_ED25519, ROLE_C, ROLE_S, type Role } from '../dkls23/suite.ts'
import { assertScalar } from '../dkls23/wire.ts'
import { concatBytes, equalBytes } from '../hash/encoding.ts'
import { bindingFactors, h2, noncePointOf } from './ciphersuite.ts'
import { assertBelongs } from '../dkls23/presignature.ts'
import { type EdPresignature, spendEdPresignature, wipeEdPresignature } from './presignature.ts'
import {
  decodeEdSignResponse,
  edMessageHash,
  type EdSignature,
  type EdSignRequest,
  encodeEdSignRequest,
  encodeEdSignResponse,
} from './sign-messages.ts'

export type EdSigningInputs = {
  readonly link: LinkParties
  readonly wallet: WalletBinding
  /** m, any length, derived by this side from the typed payload. */
  readonly message: Uint8Array
}

/** Everything public that both sides derive for one signature. */
export type EdSigningContext = {
  readonly wallet: WalletBinding
  readonly message: Uint8Array
  readonly messageHash: Uint8Array
  /** ρ_C, ρ_S. */
  readonly factors: { readonly c: Uint8Array; readonly s: Uint8Array }
  /** R. */
  readonly noncePoint: Uint8Array
  /** c. */
  readonly challenge: Uint8Array
}

/** C after the request. */
export type EdSignC = OneShot & { readonly reqId: Uint8Array; readonly context: EdSigningContext }

/**
 * ρ_C, ρ_S, R and c for one presignature.
 * @throws RangeError for a wallet of the other algorithm; ProtocolFault class B when R is the identity.
 */
export function edSigningContext(
  inputs: EdSigningInputs,
  presignature: Pick<EdPresignature, 'commitments'>,
): EdSigningContext {
  const { wallet, message } = inputs
  if (wallet.alg !== ALG_ED25519) throw new RangeError('the wallet is not of Ed25519')
  const { commitments } = presignature
  const factors = bindingFactors(wallet.publicKey, commitments, message)
  const noncePoint = noncePointOf(commitments, factors)
  const challenge = h2(concatBytes(noncePoint, wallet.publicKey, message))
  return { wallet, message, messageHash: edMessageHash(message), factors, noncePoint, challenge }
}

/**
 * C makes the request, after its intent row is durable. The presignature was taken out of its map before and is
 * wiped here, whatever happens.
 * @param inputs.share x_C, only read.
 * @throws ProtocolFault class A unknown_presig: another wallet's, or used before.
 */
export function startEdSign(
  inputs: EdSigningInputs & {
    readonly share: Uint8Array
    readonly reqId: Uint8Array
    readonly payload: Uint8Array
  },
  presignature: EdPresignature,
): { readonly state: EdSignC; readonly body: Uint8Array } {
  try {
    const { link, wallet, reqId } = inputs
    assertBelongs(presignature, link.linkId, wallet.walletId, wallet.wEpoch)
    const context = edSigningContext(inputs, presignature)
    const share = edSignatureShare(context, ROLE_C, presignature, inputs.share)
    const { walletId, wEpoch } = wallet
    const body = encodeEdSignRequest({
      linkId: link.linkId,
      walletId,
      wEpoch,
      presigId: presignature.presigId,
      reqId,
      messageHash: context.messageHash,
      share,
      payload: inputs.payload,
    })
    return { state: { spent: false, reqId, context }, body }
  } finally {
    wipeEdPresignature(presignature)
  }
}

/**
 * C takes 0x23 and verifies the signature.
 * @throws ProtocolFault class C with wallet suspension and no strike: another R, z not below L, an invalid
 *   signature; class C: length; class A: the answer to another request.
 */
export function finishEdSign(state: EdSignC, body: Uint8Array): EdSignature {
  spend(state)
  const { reqId, signature } = decodeEdSignResponse(body)
  if (!equalBytes(reqId, state.reqId)) throw benign('session', 'answer to another request')
  assertFinalEdSignature(state.context, signature)
  return signature
}

/** S: z_C is canonical. Comes after the presignature was taken and reqId was looked up. Class C. */
export function assertEdRequestScalar(request: Pick<EdSignRequest, 'share'>): void {
  assertScalar(request.share, ED25519_GROUP)
}

/**
 * S derives its own context and compares the message. Nothing here depends on a share.
 * @param inputs.message m as S derives it from the payload.
 * @throws ProtocolFault class A disagreement: an alert, never a strike.
 */
export function agreeOnEdSigning(
  inputs: EdSigningInputs,
  request: Pick<EdSignRequest, 'messageHash'>,
  presignature: Pick<EdPresignature, 'commitments'>,
): EdSigningContext {
  if (!equalBytes(edMessageHash(inputs.message), request.messageHash)) {
    throw benign('disagreement', 'message differs')
  }
  return edSigningContext(inputs, presignature)
}

/**
 * S completes the signature, after its intent row is durable, and verifies it before it leaves. The presignature is
 * wiped, whatever happens.
 *
 * This is the check of z_C too. S's own equation z_S·B = D_S + ρ_S·E_S + c·X_S holds by construction (its nonces made
 * D_S and E_S, its record proved X_S), so the one of the signature, z·B = R + c·PK over the same R and c and
 * PK = X_C + X_S, holds exactly when z_C·B = D_C + ρ_C·E_C + c·X_C does. A wrong z_C costs the wallet and the
 * presignature either way and nothing is released: z_S and the sum that carries it are overwritten. Even an observer
 * who timed the verification of that sum learns of z_S at most what the right z_C would have been answered with, for
 * the message and under the intent that S had agreed to.
 * @param share x_S, only read.
 * @throws ProtocolFault class C with wallet suspension and no strike when the signature does not verify, which is to
 *   say that z_C is wrong. Class A unknown_presig: used before.
 */
export function answerEdSign(
  context: EdSigningContext,
  request: Pick<EdSignRequest, 'reqId' | 'share'>,
  presignature: EdPresignature,
  share: Uint8Array,
): { readonly signature: EdSignature; readonly body: Uint8Array } {
  const unreleased: Uint8Array[] = []
  try {
    assertEdRequestScalar(request)
    const own = edSignatureShare(context, ROLE_S, presignature, share)
    unreleased.push(own)
    const z = scalarAdd(request.share, own)
    unreleased.push(z)
    const signature = concatBytes(context.noncePoint, z)
    unreleased.push(signature)
    assertFinalEdSignature(context, signature)
    unreleased.pop()
    return { signature, body: encodeEdSignResponse(request.reqId, signature) }
  } finally {
    for (const secret of unreleased) secret.fill(0)
    wipeEdPresignature(presignature)
  }
}

/**
 * z_i = d_i + ρ_i·e_i + c·x_i mod L. Takes the presignature's one use and overwrites its nonces.
 * @throws ProtocolFault class A unknown_presig when it was used before.
 */
export function edSignatureShare(
  context: Pick<EdSigningContext, 'factors' | 'challenge'>,
  role: Role,
  presignature: EdPresignature,
  share: Uint8Array,
): Uint8Array {
  spendEdPresignature(presignature)
  const factor = role === ROLE_C ? context.factors.c : context.factors.s
  const bound = scalarMul(factor, presignature.bindingNonce)
  const keyed = scalarMul(context.challenge, share)
  const nonce = scalarAdd(presignature.hidingNonce, bound)
  try {
    return scalarAdd(nonce, keyed)
  } finally {
    for (const secret of [bound, keyed, nonce]) secret.fill(0)
    wipeEdPresignature(presignature)
  }
}

/** @throws ProtocolFault class C with wallet suspension unless R ‖ z is exactly right for the context. */
function assertFinalEdSignature(context: EdSigningContext, signature: EdSignature): void {
  // R is another than that of this try where S answers a repetition with what it signed before.
  if (!isCanonicalScalar(signature.subarray(32))) throw invalidFinalSignature()
  if (!verifySignature(signature, context.message, context.wallet.publicKey)) throw invalidFinalSignature()
}
