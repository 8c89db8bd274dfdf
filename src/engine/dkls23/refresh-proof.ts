/**
 * Schnorr proofs of the new shares (docs/protocol.md §12). Both sides know ρ, so a proof of x' shows that its maker had
 * the old share: the channel and the identity key alone complete nothing.
 */
import type { Group } from '../curve/group.ts'
import { concatBytes, u16, u8 } from '../hash/encoding.ts'
import { hashToScalarOf } from '../hash/tagged-hash.ts'
import { violation } from './fault.ts'
import type { OperationGenerator } from './operation-generator.ts'
import { respond, verifyResponse } from './proof-of-knowledge.ts'
import type { Renewed } from './refresh-coin.ts'
import { ROLE_C, type Role } from './suite.ts'
import { BodyReader } from './wire.ts'

/** What every proof of one side is bound to. */
export type ProofContext = {
  readonly group: Group
  readonly sid: Uint8Array
  /** tr_o: the transcript up to the opening of F3. */
  readonly opening: Uint8Array
  /** The side that proves. */
  readonly role: Role
}

export type Proof = { readonly noncePoint: Uint8Array; readonly response: Uint8Array }

/** Bytes of A ‖ z. */
export const proofBytes = (group: Group): number => group.pointBytes + 32

/** n×(A ‖ z). Draws each a, so it is called once the peer's last message was mixed in. */
export function proveAll(
  context: ProofContext,
  renewed: readonly Renewed[],
  generator: OperationGenerator,
): Uint8Array {
  const { group } = context
  const proofs = renewed.map((one, index) => {
    const nonce = generator.nonZeroScalar(group)
    try {
      const noncePoint = group.mulBase(nonce)
      const challenge = challengeOf(context, index, one, noncePoint)
      return concatBytes(noncePoint, respond(nonce, challenge, one.share, group))
    } finally {
      nonce.fill(0)
    }
  })
  return concatBytes(...proofs)
}

/** @throws ProtocolFault class C: a point or a scalar. */
export function readProofs(group: Group, bytes: Uint8Array): Proof[] {
  const reader = new BodyReader(bytes)
  const read = (): Proof => ({ noncePoint: reader.point(group), response: reader.scalar(group) })
  return Array.from({ length: bytes.length / proofBytes(group) }, read)
}

/** @throws ProtocolFault class C unless there is a proof for every new share of the side that proves. */
export function assertProofs(context: ProofContext, renewed: readonly Renewed[], proofs: readonly Proof[]): void {
  for (const [index, one] of renewed.entries()) {
    const proof = proofs[index]
    if (proof === undefined) throw violation('proof count')
    const { noncePoint, response } = proof
    const challenge = challengeOf(context, index, one, noncePoint)
    const accepted = verifyResponse(response, noncePoint, challenge, pointOf(context.role, one), context.group)
    if (!accepted) throw violation('proof of knowledge')
  }
}

/** e = H2S("refresh/pok"; sid, tr_o, role_i, u16 index, walletId, X'_i, A_i). */
function challengeOf(
  { group, sid, opening, role }: ProofContext,
  index: number,
  renewed: Renewed,
  noncePoint: Uint8Array,
): Uint8Array {
  const bound = [sid, opening, u8(role), u16(index), renewed.walletId, pointOf(role, renewed), noncePoint]
  return hashToScalarOf(group, 'refresh/pok', ...bound)
}

function pointOf(role: Role, { pointC, pointS }: Renewed): Uint8Array {
  return role === ROLE_C ? pointC : pointS
}
