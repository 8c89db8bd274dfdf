/** POST /webhooks/dynamic on the Connect port: the body as it came, its signature, and the answer that senders expect. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'

export type WebhookInbox = (message: {
  readonly body: Uint8Array
  readonly signature: string | undefined
}) => Promise<{ readonly status: number; readonly body: object }>

type Request = IncomingMessage | Http2ServerRequest
type Response = ServerResponse | Http2ServerResponse
/** Both kinds of response take headers the same way; their types are not each other's. */
type Head = { statusCode: number; setHeader: (name: string, value: string) => unknown; end: (body?: string) => unknown }

const PATH = '/webhooks/dynamic'
const SIGNATURE_HEADER = 'x-dynamic-signature-256'
export const MAX_WEBHOOK_BYTES = 65_536
/** Bodies that are read or acted upon at once; senders try again. */
const MAX_AT_WORK = 32

/** Undefined for a body that is larger than any webhook, or was cut off. */
const readBody = (request: Request): Promise<Uint8Array | undefined> =>
  new Promise((resolve) => {
    const parts: Buffer[] = []
    let bytes = 0
    request.on('data', (part: Buffer) => {
      bytes += part.length
      if (bytes > MAX_WEBHOOK_BYTES) resolve(undefined)
      else parts.push(part)
    })
    request.on('end', () => resolve(Buffer.concat(parts)))
    for (const event of ['error', 'close', 'aborted']) request.on(event, () => resolve(undefined))
  })

const answer = (response: Response, status: number, body: object): void => {
  const head = response as unknown as Head
  head.statusCode = status
  head.setHeader('content-type', 'application/json')
  head.setHeader('cache-control', 'no-store')
  if (status === 405) head.setHeader('allow', 'POST')
  head.end(JSON.stringify(body))
}

const signatureOf = (request: Request): string | undefined => {
  const value = request.headers[SIGNATURE_HEADER]
  return typeof value === 'string' ? value : undefined
}

/** Answers what is a webhook; true when the request is one. Without an inbox there is no such path. */
export const openWebhookInbox = (inbox: WebhookInbox | undefined) => {
  let atWork = 0
  const receive = async (take: WebhookInbox, request: Request, response: Response): Promise<void> => {
    const body = await readBody(request)
    if (body === undefined) return answer(response, 413, { error: 'the body is too large' })
    const { status, body: said } = await take({ body, signature: signatureOf(request) })
    answer(response, status, said)
  }
  return (request: Request, response: Response): boolean => {
    if (inbox === undefined || request.url?.split('?', 1)[0] !== PATH) return false
    if (request.method !== 'POST') answer(response, 405, { error: 'POST it' })
    else if (Number(request.headers['content-length'] ?? 0) > MAX_WEBHOOK_BYTES) answer(response, 413, { error: 'the body is too large' })
    else if (atWork >= MAX_AT_WORK) answer(response, 503, { error: 'too many at once' })
    else {
      atWork += 1
      void receive(inbox, request, response)
        .catch(() => response.destroy())
        .finally(() => (atWork -= 1))
    }
    return true
  }
}
