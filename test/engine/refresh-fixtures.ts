import { NO_SID } from '../../src/engine/dkls23/frame.ts'
import type { LinkParties } from '../../src/engine/dkls23/contexts.ts'
import type { WalletRecord } from '../../src/engine/dkls23/records.ts'
import {
  answerRefreshS,
  finishRefreshC,
  finishRefreshS,
  openRefreshC,
  type RefreshInputs,
  startRefreshC,
} from '../../src/engine/dkls23/refresh.ts'
import { ALG_ED25519, type Alg } from '../../src/engine/dkls23/suite.ts'
import { makeEdWallets } from './ed-fixtures.ts'
import { activate, LINK, makeWallets } from './link-fixtures.ts'
import type { Field } from './mutations.ts'
import { seededEntropy } from './seeded-entropy.ts'

export type Wallets = { readonly c: readonly WalletRecord[]; readonly s: readonly WalletRecord[] }
export type RefreshName = 'F1' | 'F2' | 'F3' | 'F4'
export type Tamper = Partial<Record<RefreshName, (body: Uint8Array) => Uint8Array>>
export type Run = {
  readonly tamper?: Tamper
  readonly seed?: string
  readonly link?: LinkParties
  readonly healingEpoch?: number
}

export const CURVES = [
  ['secp256k1', 1, 33],
  ['Ed25519', 2, 32],
] as const

/** ACTIVE wallets of one algorithm, both halves. */
export function walletsOf(alg: Alg, count: number, seed: string): Wallets {
  if (alg === ALG_ED25519) return makeEdWallets(count, seed)
  const { c, s } = makeWallets(count, seed)
  return { c: activate(c), s: activate(s) }
}

export function refreshInputs(seed: string, run: Run = {}): RefreshInputs {
  const base = { link: run.link ?? LINK, entropy: seededEntropy(seed) }
  return run.healingEpoch === undefined ? base : { ...base, healingEpoch: run.healingEpoch }
}

/** A whole refresh; `tamper` bends what is on the way. */
export function refresh(wallets: Wallets, run: Run = {}) {
  const bodies: Partial<Record<RefreshName, Uint8Array>> = {}
  const on = (name: RefreshName, body: Uint8Array) => {
    bodies[name] = body.slice()
    return run.tamper?.[name]?.(body) ?? body
  }
  const seed = run.seed ?? 'refresh'
  const c1 = startRefreshC(refreshInputs(`${seed}/C`, run), wallets.c)
  const s2 = answerRefreshS(refreshInputs(`${seed}/S`, run), { sid: NO_SID, body: on('F1', c1.body) }, wallets.s)
  const c3 = openRefreshC(c1.state, { sid: s2.sid, body: on('F2', s2.body) })
  const s4 = finishRefreshS(s2.state, on('F3', c3.body))
  const done = finishRefreshC(c3.state, on('F4', s4.body))
  return { c: done, s: s4.pending, sid: s2.sid, bodies: bodies as Record<RefreshName, Uint8Array> }
}

/** What is stored once the switch is through on both sides. */
export function switched(result: ReturnType<typeof refresh>): Wallets {
  return { c: activate(result.c.records), s: activate(result.s.records) }
}

const times = (count: number, fields: readonly Field[]): Field[] =>
  Array.from({ length: count }, (_, i) => fields.map((one) => ({ ...one, name: `${one.name}[${i}]` }))).flat()

/** The fields of F1–F4 for n wallets. */
export function layoutOf(pointBytes: number, n: number): Record<RefreshName, Field[]> {
  const f = (name: string, length: number): Field => ({ name, length })
  const proof = times(n, [f('A', pointBytes), f('z', 32)])
  const names = times(n, [f('walletId', 16), f('wEpoch', 4)])
  return {
    F1: [f('N_C', 32), f('n', 2), ...names, f('com', 32)],
    F2: [f('N_S', 32), f('seed_S', 32), f('E_S', pointBytes)],
    F3: [f('seed_C', 32), f('E_C', pointBytes), f('salt', 32), ...proof, f('conf', 32)],
    F4: [...proof, f('conf', 32)],
  }
}

export function only<T>(list: readonly T[], index = 0): T {
  const one = list[index]
  if (one === undefined) throw new Error('missing')
  return one
}
