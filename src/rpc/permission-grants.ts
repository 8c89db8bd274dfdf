/** Permission grants between the wire and the JSON form in which they are stored. */
import type { MessageInitShape } from '@bufbuild/protobuf'
import { invalidField } from '../domain/failure.ts'
import type { Permission, PermissionSchema, TokenLimit } from '../../gen/countersign/v1/common_pb.ts'
import type { PermissionGrantJson } from './use-cases.ts'

const NATIVE = 'native'

/** EVM addresses are one in any letter case; Solana's are not. */
const plainToken = (token: string): string => (token.startsWith('0x') ? token.toLowerCase() : token)

/** `{chain: 'eip155:1', token: ''}` → `eip155:1/native` */
export const readCaps = (limits: readonly TokenLimit[], field: string): Record<string, string> => {
  const caps: Record<string, string> = {}
  for (const { chain, token, amount } of limits) {
    const key = `${chain}/${token === '' ? NATIVE : plainToken(token)}`
    if (Object.hasOwn(caps, key))
      throw invalidField(field, `lists ${key} twice`)
    caps[key] = amount
  }
  return caps
}

export const toWireCaps = (caps: Readonly<Record<string, string>> | undefined) =>
  Object.entries(caps ?? {}).map(([key, amount]) => {
    const slash = key.indexOf('/')
    return { chain: key.slice(0, slash), token: key.slice(slash + 1), amount }
  })

/** An empty list on the wire does not narrow, and is left out of the stored form. */
export const listed = <Name extends string, T>(name: Name, items: readonly T[]) =>
  (items.length === 0 ? {} : { [name]: items }) as { [N in Name]?: readonly T[] }

export const readGrant = (wire: Permission, index: number): PermissionGrantJson => {
  const field = (name: string) => `permissions[${index}].${name}`
  const perTransaction = readCaps(wire.maxPerTransaction, field('max_per_transaction'))
  const perDay = readCaps(wire.maxPerDay, field('max_per_day'))
  return {
    permission: wire.name,
    narrowing: {
      ...listed('wallets', wire.wallets),
      ...listed('session_keys', wire.sessionKeys),
      ...listed('chains', wire.chains),
      ...listed('destinations', wire.destinations),
      ...(wire.maxPerTransaction.length === 0 ? {} : { max_per_transaction: perTransaction }),
      ...(wire.maxPerDay.length === 0 ? {} : { max_per_day: perDay }),
      ...(wire.requestsPerSecond === 0 ? {} : { requests_per_second: wire.requestsPerSecond }),
    },
  }
}

export const toWireGrant = ({
  permission,
  narrowing,
}: PermissionGrantJson): MessageInitShape<typeof PermissionSchema> => ({
  name: permission,
  wallets: [...(narrowing.wallets ?? [])],
  sessionKeys: [...(narrowing.session_keys ?? [])],
  chains: [...(narrowing.chains ?? [])],
  destinations: [...(narrowing.destinations ?? [])],
  maxPerTransaction: toWireCaps(narrowing.max_per_transaction),
  maxPerDay: toWireCaps(narrowing.max_per_day),
  requestsPerSecond: narrowing.requests_per_second ?? 0,
})
