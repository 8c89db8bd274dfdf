/** Calls as a page or an app makes them: Connect JSON with headers, the answer with its headers. */
import { request } from 'node:http'
import { fromBinary } from '@bufbuild/protobuf'
import { base64Decode } from '@bufbuild/protobuf/wire'
import { ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.ts'
import type { Endpoints } from './start-daemon.ts'

export type WebAnswer = {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** The message, of an answer that is one. */
  readonly message: Record<string, unknown>
  /** Why it was refused; empty when it was not. */
  readonly reason: string
  readonly metadata: Readonly<Record<string, string>>
}

type Sent = { readonly method?: string; readonly headers?: Readonly<Record<string, string>>; readonly body?: string }

export const sendWeb = (
  { endpoints }: { readonly endpoints: Endpoints },
  path: string,
  { method = 'GET', headers = {}, body = '' }: Sent = {},
): Promise<{ status: number; headers: WebAnswer['headers']; text: string }> =>
  new Promise((resolve, reject) => {
    const sent = request(`http://${endpoints.connect}${path}`, { method, headers }, (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => (text += chunk.toString()))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }))
    })
    sent.on('error', reject)
    sent.end(body)
  })

type Failed = { readonly message?: string; readonly details?: readonly { readonly type: string; readonly value: string }[] }

const infoOf = ({ details }: Failed) => {
  const found = details?.find(({ type }) => type === 'google.rpc.ErrorInfo')
  return found === undefined ? undefined : fromBinary(ErrorInfoSchema, base64Decode(found.value))
}

/** `method` without the package: `EndUserService/StartOidc`. */
export const callWeb = async (
  daemon: { readonly endpoints: Endpoints },
  method: string,
  message: object,
  headers: Readonly<Record<string, string>> = {},
): Promise<WebAnswer> => {
  const answer = await sendWeb(daemon, `/countersign.v1.${method}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(message),
  })
  const json = (answer.text === '' ? {} : JSON.parse(answer.text)) as Record<string, unknown>
  const info = answer.status === 200 ? undefined : infoOf(json)
  const isRefused = answer.status !== 200
  return {
    status: answer.status,
    headers: answer.headers,
    message: json,
    reason: isRefused ? (info?.reason ?? `${answer.status} ${answer.text}`) : '',
    metadata: { ...info?.metadata },
  }
}
