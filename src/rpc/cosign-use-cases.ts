import type { CosignAnswer, CosignChallenge, CosignJoined, CosignPeer, CosignSession } from '../delegation/cosign.ts'
import type { DelegateCaller } from '../domain/call.ts'

export type { CosignAnswer, CosignChallenge, CosignJoined, CosignPeer, CosignSession }

export type CosignUseCases = {
  readonly openCosign: (caller: DelegateCaller, peer: CosignPeer) => CosignSession
}
