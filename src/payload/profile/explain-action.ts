import { unscaleDecimal } from './decimals.ts'
import type { Explanation, Leg, ReadAction } from './loaded-profile.ts'
import type { Profile } from './profile.ts'
import { writeJson } from './values.ts'

/** What an action means, for people. The sentence is not signed; the canonical JSON is what the signature covers. */

const amount = (scaled: bigint): string => unscaleDecimal(scaled, 18)

const legText = ({ market, side, sizeE18, priceE18, notionalE18, reduceOnly }: Leg): string =>
  [
    ...(side === undefined ? [] : [side]),
    ...(sizeE18 === undefined ? [] : [amount(sizeE18)]),
    ...(sizeE18 === undefined ? [`market ${market}`] : [`of market ${market}`]),
    ...(priceE18 === undefined ? [] : [`at ${amount(priceE18)}`]),
    ...(notionalE18 === undefined ? [] : [`(notional ${amount(notionalE18)})`]),
    ...(reduceOnly ? ['reduce only'] : []),
  ].join(' ')

const LEGS_SHOWN = 8

export const explainAction = (profile: Profile, { network, facts, value }: ReadAction): Explanation => {
  const shown = facts.legs.slice(0, LEGS_SHOWN).map(legText)
  const more = facts.legs.length > LEGS_SHOWN ? [`and ${facts.legs.length - LEGS_SHOWN} more`] : []
  const what = [...shown, ...more].join('; ')
  return {
    sentence: `${profile.title} ${network}: ${facts.action} (${facts.family})${what === '' ? '' : `: ${what}`}`,
    facts,
    canonicalJson: writeJson(value),
    unsignedFields: profile.unsignedFields,
  }
}
