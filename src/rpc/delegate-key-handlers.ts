/** The part of countersign.v1.AdminService that keeps a delegate's RSA keys: from the wire to a use case and back. */
import type { MessageInitShape } from '@bufbuild/protobuf'
import { type DelegateKeySchema, DelegateKeyState as WireState } from '../../gen/countersign/v1/admin_pb.ts'
import type { DelegateSideUseCases, OwnKeyView } from './delegate-side-use-cases.ts'
import type { Handlers } from './pipeline.ts'
import { bothWays, optionalTimestamp, orAbsent, toTimestamp } from './wire-words.ts'

const states = bothWays<OwnKeyView['state'], WireState>({ ACTIVE: WireState.ACTIVE, RETIRED: WireState.RETIRED })

const pemOf = (der: Uint8Array): string => {
  const text = Buffer.from(der).toString('base64').replace(/.{64}(?=.)/g, '$&\n')
  return `-----BEGIN PUBLIC KEY-----\n${text}\n-----END PUBLIC KEY-----\n`
}

const toWireKey = ({ kid, publicKey, bits, state, createMs, retireMs }: OwnKeyView): MessageInitShape<typeof DelegateKeySchema> => ({
  kid,
  publicKeyPem: pemOf(publicKey),
  bits,
  state: states.toWire(state),
  createTime: toTimestamp(createMs),
  ...optionalTimestamp('retireTime', retireMs),
})

export const delegateKeyHandlers = (delegate: DelegateSideUseCases) =>
  ({
    createDelegateKey: async ({ privateKeyPem, kid, retireOthers }, call) => {
      const args = { privateKeyPem: orAbsent(privateKeyPem), kid: orAbsent(kid), retireOthers }
      return { key: toWireKey(await delegate.createDelegateKey(call, args)) }
    },
    listDelegateKeys: async (_request, call) => {
      const { keys, ...identity } = await delegate.listDelegateKeys(call)
      return { keys: keys.map(toWireKey), ...identity }
    },
    deleteDelegateKey: async ({ kid }, call) => {
      await delegate.deleteDelegateKey(call, { kid })
      return {}
    },
  }) satisfies Partial<Handlers<'admin'>>
