import type { LinkParties } from '../../src/engine/dkls23/contexts.ts'
import {
  answerForkS,
  finishForkC,
  finishForkS,
  type ForkInputs,
  type ForkTerms,
  openForkC,
  startForkC,
} from '../../src/engine/dkls23/fork.ts'
import { NO_SID } from '../../src/engine/dkls23/frame.ts'
import { LINK } from './link-fixtures.ts'
import { only, type Tamper, type Wallets } from './refresh-fixtures.ts'
import type { ReferencePurpose } from './refresh-reference.ts'
import { seededEntropy } from './seeded-entropy.ts'

export const TERMS: ForkTerms = { idG: new Uint8Array(32).fill(0x71), linkId: new Uint8Array(16).fill(0x72) }

export const purposeOf = ({ idG, linkId }: ForkTerms): ReferencePurpose => ({
  name: 'fork',
  agreed: Uint8Array.from([...idG, ...linkId]),
})

export type ForkRun = {
  readonly tamper?: Tamper
  readonly seed?: string
  readonly link?: LinkParties
  /** As C, and as S, has them. */
  readonly c?: Partial<ForkTerms>
  readonly s?: Partial<ForkTerms>
}

export const forkInputs = (seed: string, terms: Partial<ForkTerms> = {}, link = LINK): ForkInputs => ({
  link,
  entropy: seededEntropy(seed),
  terms: { ...TERMS, ...terms },
})

/** A whole fork; `tamper` bends what is on the way, by the names of a refresh. */
export function fork(wallets: Wallets, run: ForkRun = {}) {
  const bodies: Partial<Record<'F1' | 'F2' | 'F3' | 'F4', Uint8Array>> = {}
  const on = (name: 'F1' | 'F2' | 'F3' | 'F4', body: Uint8Array) => {
    bodies[name] = body.slice()
    return run.tamper?.[name]?.(body) ?? body
  }
  const seed = run.seed ?? 'fork'
  const c1 = startForkC(forkInputs(`${seed}/C`, run.c, run.link), only(wallets.c))
  const s2 = answerForkS(forkInputs(`${seed}/S`, run.s, run.link), { sid: NO_SID, body: on('F1', c1.body) }, wallets.s)
  const c3 = openForkC(c1.state, { sid: s2.sid, body: on('F2', s2.body) })
  const s4 = finishForkS(s2.state, on('F3', c3.body))
  const c = finishForkC(c3.state, on('F4', s4.body))
  return { c, s: s4.half, sid: s2.sid, bodies: bodies as Record<'F1' | 'F2' | 'F3' | 'F4', Uint8Array> }
}
