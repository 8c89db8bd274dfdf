/** `countersign delegate-key …`: RSA keys that others seal delegated access to. */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import {
  type DelegateKey,
  DelegateKeySchema,
  DelegateKeyStateSchema,
  ListDelegateKeysResponseSchema,
} from '../../gen/countersign/v1/admin_pb.ts'
import type { Flags } from '../config/load-config.ts'
import { withDaemon } from './daemon-client.ts'
import { enumText, jsonText, timeText } from './message-text.ts'
import { formatFacts, formatTable } from './print-table.ts'
import { CommandRefusal, type Terminal } from './terminal.ts'

const MAX_PEM_CHARACTERS = 8_192

const readPem = (path: string): string => {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new CommandRefusal(`${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'error'})`)
  }
  if (text.length > MAX_PEM_CHARACTERS) throw new CommandRefusal(`${path} has more than ${MAX_PEM_CHARACTERS} characters`)
  return text
}

export type NewKey = { readonly kid: string; readonly retireOthers: boolean; readonly pemFile: string | undefined }

export const createDelegateKey = async ({ kid, retireOthers, pemFile }: NewKey, flags: Flags, terminal: Terminal): Promise<void> => {
  const privateKeyPem = pemFile === undefined ? '' : readPem(pemFile)
  const { key } = await withDaemon(flags, terminal, ({ admin }) =>
    admin.createDelegateKey({ kid, retireOthers, privateKeyPem, requestId: randomUUID() }),
  )
  if (key === undefined) return
  if (flags.json === true) return terminal.print(jsonText(DelegateKeySchema, key))
  terminal.print(formatFacts([['kid', key.kid], ['bits', String(key.bits)], ['create_time', timeText(key.createTime)]]))
  terminal.print(key.publicKeyPem.trimEnd())
}

const rowOf = ({ kid, state, bits, createTime, retireTime }: DelegateKey): readonly string[] => [
  kid,
  enumText(DelegateKeyStateSchema, state),
  String(bits),
  timeText(createTime),
  timeText(retireTime),
]

export const listDelegateKeys = async (flags: Flags, terminal: Terminal): Promise<void> => {
  const answer = await withDaemon(flags, terminal, ({ admin }) => admin.listDelegateKeys({}))
  if (flags.json === true) return terminal.print(jsonText(ListDelegateKeysResponseSchema, answer))
  terminal.print(
    formatFacts([
      ['identity_public_key', Buffer.from(answer.identityPublicKey).toString('hex')],
      ['party_id', Buffer.from(answer.partyId).toString('hex')],
    ]),
  )
  terminal.print(formatTable(['KID', 'STATE', 'BITS', 'CREATED', 'RETIRED'], answer.keys.map(rowOf)))
}

export const deleteDelegateKey = async (kid: string, flags: Flags, terminal: Terminal): Promise<void> => {
  await withDaemon(flags, terminal, ({ admin }) => admin.deleteDelegateKey({ kid, requestId: randomUUID() }))
  terminal.print(flags.json === true ? '{}' : `${kid} is deleted`)
}
