/**
 * The common coin of a refresh or a fork and what it makes of a wallet (docs/protocol.md §12): x'_C = x_C + ρ,
 * x'_S = x_S − ρ, so PK stays. ρ takes in an ephemeral Diffie–Hellman value: a reader of the channel cannot follow the
 * shares.
 */
import type { Group } from '../curve/group.ts'
import { ascii, concatBytes, equalBytes, u16, u32 } from '../hash/encoding.ts'
import { hashToScalarOf } from '../hash/tagged-hash.ts'
import { isZeroScalar } from '../kernel/scalar.ts'
import { degenerate } from './fault.ts'
import { wipeable, type Wipeable } from './one-shot.ts'
import type { WalletRecord } from './records.ts'
import { ROLE_C, type Role } from './suite.ts'

/** What ρ is made of. Z is secret, and so is ρ while it lives. */
export type CoinInputs = {
  readonly purpose: 'refresh' | 'fork'
  /** The last items of its hash. */
  readonly tail: readonly Uint8Array[]
  readonly sid: Uint8Array
  readonly seedC: Uint8Array
  readonly seedS: Uint8Array
  /** Z = e_C·E_S = e_S·E_C, the encoding of a point. */
  readonly shared: Uint8Array
}

/** One side's half at the next epoch; `share` is secret. */
export type Renewed = {
  readonly walletId: Uint8Array
  readonly share: Uint8Array
  readonly pointC: Uint8Array
  readonly pointS: Uint8Array
}

/**
 * The next half of each wallet. The records are only read; the shares of the result belong to the caller.
 * @throws ProtocolFault class B: ρ, a new share or a new point is zero, or the own half does not follow. Every new
 *   share is overwritten then.
 */
export function renewAll(
  group: Group,
  role: Role,
  records: readonly WalletRecord[],
  shares: readonly Uint8Array[],
  coin: CoinInputs,
): Renewed[] {
  const made: Renewed[] = []
  try {
    for (const [index, record] of records.entries()) {
      const share = shares[index]
      if (share === undefined) throw degenerate('share count')
      made.push(renew(group, role, record, share, coin, index))
    }
    return made
  } catch (error) {
    for (const { share } of made) share.fill(0)
    throw error
  }
}

/** All X' as conf takes them: X'_{C,0} ‖ X'_{S,0} ‖ X'_{C,1} ‖ … */
export function renewedPoints(renewed: readonly Renewed[]): Uint8Array {
  return concatBytes(...renewed.flatMap(({ pointC, pointS }) => [pointC, pointS]))
}

export function wipeableRenewed(renewed: readonly Renewed[]): Wipeable {
  return {
    wipe: () => {
      for (const { share } of renewed) wipeable(share).wipe()
    },
  }
}

function renew(
  group: Group,
  role: Role,
  record: WalletRecord,
  oldShare: Uint8Array,
  coin: CoinInputs,
  index: number,
): Renewed {
  const { purpose, tail, sid, seedC, seedS, shared } = coin
  const { walletId, wEpoch } = record
  const name = [walletId, u32(wEpoch)] as const
  const rho = hashToScalarOf(
    group, 'refresh/rho', sid, ascii(purpose), u16(index), seedC, seedS, shared, ...name, ...tail,
  )
  const minusRho = group.scalarNegate(rho)
  const share = group.scalarAdd(oldShare, role === ROLE_C ? rho : minusRho)
  try {
    if (isZeroScalar(share)) throw degenerate('a new share is zero')
    const pointC = group.addPoints([record.pointC, group.mulBase(rho)])
    const pointS = group.addPoints([record.pointS, group.mulBase(minusRho)])
    if (pointC === undefined || pointS === undefined) throw degenerate('a new share point is the identity')
    const sum = group.addPoints([pointC, pointS])
    if (sum === undefined || !equalBytes(sum, record.publicKey)) throw degenerate('the public key changed')
    const own = role === ROLE_C ? pointC : pointS
    if (!equalBytes(group.mulBase(share), own)) throw degenerate('the new share does not open its point')
    return { walletId, share, pointC, pointS }
  } catch (error) {
    share.fill(0)
    throw error
  } finally {
    rho.fill(0)
    minusRho.fill(0)
  }
}
