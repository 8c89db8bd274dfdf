import { randomUUID } from 'node:crypto'
import {
  FreezeRecordSchema,
  FreezeScopeSchema,
  type FreezeRecord,
  type FreezeScope,
} from '../../gen/countersign/v1/admin_pb.ts'
import type { Flags } from '../config/load-config.ts'
import { withDaemon } from './daemon-client.ts'
import { enumText, jsonText, parseEnumText, timeText } from './message-text.ts'
import { formatFacts } from './print-table.ts'
import { UsageRefusal, type Terminal } from './terminal.ts'

const parseScope = (scope: string, id: string | undefined): { scope: FreezeScope; id: string } => {
  const value = parseEnumText(FreezeScopeSchema, scope.replaceAll('-', '_'))
  if (value === undefined) throw new UsageRefusal(`${scope} is not something that can be frozen`)
  if (scope === 'everything' && id !== undefined) throw new UsageRefusal('everything takes no id')
  if (scope !== 'everything' && id === undefined) throw new UsageRefusal(`name the ${scope} by its id`)
  return { scope: value, id: id ?? '' }
}

const print = (terminal: Terminal, flags: Flags, done: string, record: FreezeRecord | undefined): void => {
  if (record === undefined) return
  if (flags.json === true) return terminal.print(jsonText(FreezeRecordSchema, record))
  terminal.print(
    formatFacts([
      [done, [enumText(FreezeScopeSchema, record.scope), record.id].join(' ').trim()],
      ['note', record.note],
      ['by', record.actor],
      ['since', timeText(record.createTime)],
    ]),
  )
}

export const freeze = async (
  scopeText: string,
  idText: string | undefined,
  flags: Flags,
  terminal: Terminal,
): Promise<void> => {
  const { scope, id } = parseScope(scopeText, idText)
  const note = typeof flags.note === 'string' ? flags.note : ''
  await withDaemon(flags, terminal, async ({ admin }) => {
    const answer = await admin.freeze({ scope, id, note, requestId: randomUUID() })
    print(terminal, flags, 'frozen', answer.freeze)
  })
}

export const unfreeze = async (
  scopeText: string,
  idText: string | undefined,
  flags: Flags,
  terminal: Terminal,
): Promise<void> => {
  const { scope, id } = parseScope(scopeText, idText)
  await withDaemon(flags, terminal, async ({ admin }) => {
    const answer = await admin.unfreeze({ scope, id, requestId: randomUUID() })
    print(terminal, flags, 'unfrozen', answer.freeze)
  })
}
