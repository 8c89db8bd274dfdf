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
/** Bodies that are acted upon at once; senders try again. */
const MAX_AT_WORK = 32
/**
 * Bodies on their way at once. Whose they are is not known yet, so the one that has been longest on its way gives way to
 * the newest: whoever sends theirs slowly keeps nobody else's out.
 */
const MAX_ARRIVING = 128

type Arriving = Set<() => void>

/** What says why there is no body. */
type NoBody = { readonly status: 413 | 503; readonly error: string }
const TOO_LARGE: NoBody = { status: 413, error: 'the body is too large' }
const TOO_MANY: NoBody = { status: 503, error: 'too many at once' }

const readBody = async (request: Request, arriving: Arriving): Promise<Uint8Array | NoBody> => {
  const { promise, resolve } = Promise.withResolvers<Uint8Array | NoBody>()
  let parts: Buffer[] = []
  let bytes = 0
  const take = (part: Buffer): void => {
    bytes += part.length
    if (bytes > MAX_WEBHOOK_BYTES) giveUp(TOO_LARGE)
    else parts.push(part)
  }
  /** It keeps its place no longer, and nothing more of it is kept: its connection may outlive the answer. */
  const giveUp = (why: NoBody): void => {
    arriving.delete(giveWay)
    request.off('data', take)
    parts = []
    resolve(why)
  }
  const giveWay = (): void => giveUp(TOO_MANY)
  const [longest] = arriving.size >= MAX_ARRIVING ? arriving : []
  longest?.()
  arriving.add(giveWay)
  request.on('data', take)
  request.on('end', () => resolve(Buffer.concat(parts)))
  // Cut off: nobody hears the answer.
  for (const event of ['error', 'close', 'aborted']) request.on(event, () => giveUp(TOO_LARGE))
  return promise.finally(() => arriving.delete(giveWay))
}

const answer = (response: Response, status: number, body: object): void => {
  const head = response as unknown as Head
  head.statusCode = status
  head.setHeader('content-type', 'application/json')
  head.setHeader('cache-control', 'no-store')
  if (status === 405) head.setHeader('allow', 'POST')
  head.end(JSON.stringify(body))
}

/** What is still on its way is not waited for. */
const refuse = (request: Request, response: Response, { status, error }: NoBody): void => {
  response.once('finish', () => status === TOO_MANY.status && request.destroy())
  answer(response, status, { error })
}

const signatureOf = (request: Request): string | undefined => {
  const value = request.headers[SIGNATURE_HEADER]
  return typeof value === 'string' ? value : undefined
}

/** Answers what is a webhook; true when the request is one. Without an inbox there is no such path. */
export const openWebhookInbox = (inbox: WebhookInbox | undefined) => {
  let atWork = 0
  const arriving: Arriving = new Set()
  const work = async (take: WebhookInbox, body: Uint8Array, request: Request): ReturnType<WebhookInbox> => {
    if (atWork >= MAX_AT_WORK) return { status: TOO_MANY.status, body: { error: TOO_MANY.error } }
    atWork += 1
    return take({ body, signature: signatureOf(request) }).finally(() => (atWork -= 1))
  }
  const receive = async (take: WebhookInbox, request: Request, response: Response): Promise<void> => {
    const body = await readBody(request, arriving)
    if (!(body instanceof Uint8Array)) return refuse(request, response, body)
    const { status, body: said } = await work(take, body, request)
    answer(response, status, said)
  }
  return (request: Request, response: Response): boolean => {
    if (inbox === undefined || request.url?.split('?', 1)[0] !== PATH) return false
    if (request.method !== 'POST') answer(response, 405, { error: 'POST it' })
    else if (Number(request.headers['content-length'] ?? 0) > MAX_WEBHOOK_BYTES) answer(response, 413, { error: TOO_LARGE.error })
    else void receive(inbox, request, response).catch(() => response.destroy())
    return true
  }
}
