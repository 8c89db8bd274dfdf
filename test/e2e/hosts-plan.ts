/** Who dies when in the hosts' campaign, and which cable is pulled meanwhile: all of it follows from the seed. */
import { randomOf } from './campaign.ts'
import { HOSTS, type Host } from './three-hosts.ts'

export type Cut = { readonly other: 'cosigner' | 'sidecar'; readonly at: 'daemon' | 'other'; readonly afterMs: number; readonly forMs: number }
export type Round = { readonly victim: Host; readonly afterMs: number; readonly deadMs: number; readonly cut: Cut | undefined }

const LONGEST_LIFE_MS = 700
const LONGEST_DEATH_MS = 600
const CUTS_OF_ROUNDS = 0.4
const LONGEST_CUT_MS = 4_000
/** So long that both sides have given the connection up. */
const LOST_MS = 30_000
const LOST_OF_CUTS = 0.04

const shuffled = <T>(all: readonly T[], random: () => number): T[] => {
  const left = [...all]
  return all.map(() => left.splice(Math.floor(random() * left.length), 1)[0] as T)
}

const cutOf = (random: () => number): Cut => ({
  other: random() < 0.5 ? 'cosigner' : 'sidecar',
  at: random() < 0.5 ? 'daemon' : 'other',
  afterMs: Math.floor(random() * (LONGEST_LIFE_MS + LONGEST_DEATH_MS)),
  forMs: random() < LOST_OF_CUTS ? LOST_MS : 100 + Math.floor(random() * LONGEST_CUT_MS),
})

/** `kills` times each of the three once, in random order. */
export const planRounds = ({ kills, seed, hasCables }: { kills: number; seed: number; hasCables: boolean }): Round[] => {
  const random = randomOf(seed)
  const victims = Array.from({ length: kills }, () => shuffled(HOSTS, random)).flat()
  return victims.map((victim) => ({
    victim,
    afterMs: Math.floor(random() ** 2 * LONGEST_LIFE_MS),
    deadMs: Math.floor(random() ** 3 * LONGEST_DEATH_MS),
    cut: hasCables && random() < CUTS_OF_ROUNDS ? cutOf(random) : undefined,
  }))
}
