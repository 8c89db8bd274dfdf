/**
 * The heavy steps of a link's set-ups and presign sessions, wherever they are computed: in the party's own thread or
 * in a crypto worker beside it. A step of the protocol (docs/protocol.md §4.2, §9) that waits for the peer's next
 * message is an object that takes that message once; it knows no store, no lock and no policy. Faults reject as
 * ProtocolFault: what they cost is the caller's to carry out.
 */
import type { SessionMessage } from '../engine/dkls23/frame.ts'
import type { LinkMaterial } from '../engine/dkls23/link-material.ts'
import type { LinkReason } from '../engine/dkls23/link-setup.ts'
import type { PresignSlots } from '../engine/dkls23/presign.ts'
import type { PresignSlot, SlotName } from '../engine/dkls23/presign-plan.ts'
import type { Presignature } from '../engine/dkls23/presignature.ts'

/** Material as its link knows it. Δ and the seeds are with whoever computes over it. `hk` is secret. */
export type HeldMaterial = Pick<LinkMaterial, 'role' | 'lEpoch' | 'lctx' | 'hk'>

/** A session between two messages. */
export type OpenStep = {
  /** Ends it; every secret of it is overwritten. For one that has moved on it does nothing. */
  readonly abandon: () => void
}
type Sending = OpenStep & { readonly body: Uint8Array }

export type SetupC1 = Sending & { readonly advance: (l2: SessionMessage) => Promise<SetupC3> }
export type SetupC3 = Sending & { readonly finish: (l4: Uint8Array) => Promise<FinishedSetupC> }
export type FinishedSetupC = { readonly material: HeldMaterial; readonly confC: Uint8Array; readonly sid: Uint8Array }
export type PresignC1 = Sending & { readonly advance: (p2: SessionMessage) => Promise<PresignC3> }
export type PresignC3 = Sending & {
  readonly sid: Uint8Array
  readonly finish: (p4: Uint8Array) => Promise<readonly Presignature[]>
}

export type SetupS2 = Sending & {
  readonly sid: Uint8Array
  readonly reason: LinkReason
  readonly advance: (l3: Uint8Array) => Promise<SetupS4>
}
export type SetupS4 = Sending & { readonly finish: (l5: Uint8Array) => Promise<FinishedSetupS> }
export type FinishedSetupS = { readonly material: HeldMaterial; readonly p1: Uint8Array }
export type PresignS2 = Sending & {
  readonly sid: Uint8Array
  readonly finish: (p3: Uint8Array) => Promise<FinishedPresignS>
}
export type FinishedPresignS = { readonly presignatures: readonly Presignature[]; readonly body: Uint8Array }

type Materials = {
  /** Overwrites it, once the step that runs over it has ended. */
  readonly wipeMaterial: (material: HeldMaterial) => void
}

/** Large bodies that are given to a step are the step's: they may be gone from the caller's thread afterwards. */
export type SessionsOfC = Materials & {
  readonly startSetup: (inputs: {
    readonly lEpoch: number
    readonly reason: LinkReason
    readonly replaces: HeldMaterial | undefined
  }) => Promise<SetupC1>
  /** The shares in `slots` are copied before the promise is given. */
  readonly startPresign: (material: HeldMaterial, slots: PresignSlots) => Promise<PresignC1>
}

export type SessionsOfS = Materials & {
  readonly startSetup: (
    inputs: { readonly ownLEpoch: number; readonly replaces: HeldMaterial | undefined },
    l1: SessionMessage & { readonly lEpoch: number },
  ) => Promise<SetupS2>
  /** @param resolve as `startPresignS`; asked before the promise is given, and the shares are copied by then. */
  readonly startPresign: (
    material: HeldMaterial,
    resolve: (name: SlotName) => PresignSlot | undefined,
    p1: SessionMessage,
  ) => Promise<PresignS2>
  readonly startSelfTest: (material: HeldMaterial, p1: Uint8Array) => Promise<PresignS2>
}
