/** C's script of key generation (docs/protocol.md §5). It needs no lock. */
import { ed25519Ready } from '../engine/curve/ed25519.ts'
import { abandonDkg, advanceDkgC, finishDkgC, startDkgC } from '../engine/dkls23/dkg.ts'
import { FRAME_TYPES, NO_SID } from '../engine/dkls23/frame.ts'
import { type Alg, ALG_ED25519, ALG_SECP256K1 } from '../engine/dkls23/suite.ts'
import { besideSetUps } from './beside-set-ups.ts'
import { type Generated, holdPending, newWalletInputs, whileUsable } from './new-wallets.ts'
import type { OpeningDeps } from './operation-deps.ts'

/** Both sides hold durable PENDING records when it returns. */
export const generateWallets = async (deps: OpeningDeps, count: number, alg: Alg = ALG_SECP256K1): Promise<Generated> => {
  if (alg === ALG_ED25519) await ed25519Ready()
  const { link, exchange } = deps
  const { W1, W2, W3, W4 } = FRAME_TYPES
  return besideSetUps(deps, () => deps.guarded(async () => {
    link.assertUsable('other')
    const { lEpoch } = link.record
    const { state, body } = startDkgC(newWalletInputs(deps, lEpoch), count, alg)
    const w2 = await whileUsable(link, exchange(W1, NO_SID, lEpoch, body, W2)).catch((error: unknown) => {
      abandonDkg(state)
      throw error
    })
    const step = advanceDkgC(state, w2)
    return holdPending(deps, step.pending, async () => {
      const w4 = await whileUsable(link, exchange(W3, w2.sid, lEpoch, step.body, W4))
      finishDkgC(step.state, w4.body)
    })
  }))
}
