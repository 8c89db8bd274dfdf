/** The steps of session-engine.ts computed where they are asked for. */
import type { LinkParties } from '../engine/dkls23/contexts.ts'
import { type LinkMaterial, wipeLinkMaterial } from '../engine/dkls23/link-material.ts'
import {
  abandonLinkSetup,
  advanceLinkC,
  advanceLinkS,
  finishLinkC,
  finishLinkS,
  startLinkC,
  startLinkS,
} from '../engine/dkls23/link-setup.ts'
import type { Entropy } from '../engine/dkls23/operation-generator.ts'
import {
  abandonPresign,
  advancePresignC,
  advancePresignS,
  finishPresignC,
  startPresignC,
  startPresignS,
  startSelfTestS,
} from '../engine/dkls23/presign.ts'
import type { HeldMaterial, PresignS2, SessionsOfC, SessionsOfS } from './session-engine.ts'

/** The material whole: what a link of this thread was given by these sessions. */
const whole = (material: HeldMaterial): LinkMaterial => {
  if (!isWhole(material)) throw new TypeError('the material is in another thread')
  return material
}

const isWhole = (material: HeldMaterial): material is LinkMaterial => 'delta' in material

/** What this thread has of the material is overwritten. */
export const wipeHeldMaterial = (material: HeldMaterial): void => {
  if (isWhole(material)) wipeLinkMaterial(material)
  else material.hk.fill(0)
}

const hedge = (replaces: HeldMaterial | undefined) => (replaces === undefined ? {} : { hk: replaces.hk })

export const inThreadSessionsOfC = (link: LinkParties, entropy: Entropy): SessionsOfC => ({
  wipeMaterial: wipeHeldMaterial,
  startSetup: async ({ lEpoch, reason, replaces }) => {
    const first = startLinkC({ link, entropy, lEpoch, reason, ...hedge(replaces) })
    return {
      body: first.body,
      abandon: () => abandonLinkSetup(first.state),
      advance: async (l2) => {
        const third = advanceLinkC(first.state, l2)
        return {
          body: third.body,
          abandon: () => abandonLinkSetup(third.state),
          finish: async (l4) => finishLinkC(third.state, l4),
        }
      },
    }
  },
  startPresign: async (material, slots) => {
    const first = startPresignC({ link, material: whole(material), entropy, slots })
    return {
      body: first.body,
      abandon: () => abandonPresign(first.state),
      advance: async (p2) => {
        const third = advancePresignC(first.state, p2)
        return {
          body: third.body,
          sid: third.sid,
          abandon: () => abandonPresign(third.state),
          finish: async (p4) => finishPresignC(third.state, p4).presignatures,
        }
      },
    }
  },
})

export const inThreadSessionsOfS = (link: LinkParties, entropy: Entropy): SessionsOfS => ({
  wipeMaterial: wipeHeldMaterial,
  startSetup: async ({ ownLEpoch, replaces }, l1) => {
    const second = startLinkS({ link, entropy, ownLEpoch, ...hedge(replaces) }, l1)
    return {
      body: second.body,
      sid: second.state.sid,
      reason: second.reason,
      abandon: () => abandonLinkSetup(second.state),
      advance: async (l3) => {
        const fourth = advanceLinkS(second.state, l3)
        return {
          body: fourth.body,
          abandon: () => abandonLinkSetup(fourth.state),
          finish: async (l5) => finishLinkS(fourth.state, l5),
        }
      },
    }
  },
  startPresign: async (material, resolve, p1) =>
    openPresignS(startPresignS({ link, material: whole(material), entropy, resolve }, p1)),
  startSelfTest: async (material, p1) =>
    openPresignS(startSelfTestS({ link, material: whole(material), entropy }, p1)),
})

const openPresignS = ({ state, body, sid }: ReturnType<typeof startPresignS>): PresignS2 => ({
  body,
  sid,
  abandon: () => abandonPresign(state),
  finish: async (p3) => advancePresignS(state, p3),
})
