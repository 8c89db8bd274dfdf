/** Messages of the API as text for people. */
import type { DescEnum, DescMessage, Message, MessageShape } from '@bufbuild/protobuf'
import { toJson } from '@bufbuild/protobuf'
import type { GenEnum } from '@bufbuild/protobuf/codegenv2'
import { timestampDate, type Timestamp } from '@bufbuild/protobuf/wkt'

/** `KEY_TYPE_SECP256K1` of KeyType → `secp256k1`. */
export const enumText = (schema: DescEnum, value: number): string => {
  const name = schema.value[value]?.name
  if (name === undefined || value === 0) return ''
  return name.slice(schema.sharedPrefix?.length ?? 0).toLowerCase()
}

export const parseEnumText = <E extends number>(schema: GenEnum<E>, text: string): E | undefined =>
  schema.values.find(({ number }) => number !== 0 && enumText(schema, number) === text)?.number as E | undefined

export const timeText = (time: Timestamp | undefined): string => {
  if (time === undefined) return ''
  return timestampDate(time).toISOString().replace('.000Z', 'Z')
}

export const hexText = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** A message in protobuf's JSON mapping: the form `buf curl` prints and takes. */
export const jsonText = <D extends DescMessage>(schema: D, message: MessageShape<D> & Message): string =>
  JSON.stringify(toJson(schema, message), null, 2)

export const jsonLine = <D extends DescMessage>(schema: D, message: MessageShape<D> & Message): string =>
  JSON.stringify(toJson(schema, message))

export const jsonArray = <D extends DescMessage>(schema: D, messages: readonly MessageShape<D>[]): string =>
  JSON.stringify(
    messages.map((message) => toJson(schema, message)),
    null,
    2,
  )
