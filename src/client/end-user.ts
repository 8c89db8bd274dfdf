/**
 * What an end user shows with each call: the access token, and for everything beyond reading a token that their wallet
 * secret signs for this one request (`x-wallet-auth`). The key stays with the device.
 */
import { toBinary } from '@bufbuild/protobuf'
import type { DescMessage, MessageShape } from '@bufbuild/protobuf'
import type { Interceptor, StreamRequest, UnaryRequest } from '@connectrpc/connect'
import type { WalletSecret } from './wallet-secret.ts'

export type EndUserCredentials = {
  /** The access token as it is now, or how to get it: asked for with each call. */
  readonly accessToken: string | (() => string | Promise<string>)
  /** Without one only what needs none can be asked: reading, and taking back a grant. */
  readonly walletSecret?: EndUserSecret | undefined
}

export type EndUserSecret = Pick<WalletSecret, 'sign'> & {
  /** Which of the user's wallet secrets it is; without it the daemon tries all of them. */
  readonly walletSecretId?: string | undefined
}

/** What only reads is asked with the access token alone. */
const READS = /^(?:Get|List|Verify|Validate|Warm|Watch)/

const encodeSegment = (value: string | Uint8Array): string =>
  Buffer.from(typeof value === 'string' ? Buffer.from(value, 'utf8') : value).toString('base64url')

const hexOf = async (bytes: Uint8Array): Promise<string> =>
  Buffer.from(await crypto.subtle.digest('SHA-256', Uint8Array.from(bytes))).toString('hex')

export type RequestToSign = {
  /** Host and port, as the call is addressed. */
  readonly authority: string
  /** `/countersign.v1.WalletService/SignMessage` */
  readonly path: string
  /** The message as it is sent, without its frame; of a stream the first. */
  readonly body: Uint8Array
}

/**
 * The `x-wallet-auth` of one gRPC request: an ES256 JWT over `POST <authority>/<service>/<method>` and the SHA-256 of the
 * message. Good for a minute, and once.
 */
export const signRequest = async ({ sign }: Pick<WalletSecret, 'sign'>, request: RequestToSign): Promise<string> => {
  const issued = Math.floor(Date.now() / 1_000)
  const claims = {
    uris: [`POST ${request.authority}${request.path}`],
    iat: issued,
    nbf: issued,
    jti: Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString('hex'),
    ...(request.body.length === 0 ? {} : { reqHash: await hexOf(request.body) }),
  }
  const signed = `${encodeSegment('{"alg":"ES256","typ":"JWT"}')}.${encodeSegment(JSON.stringify(claims))}`
  return `${signed}.${encodeSegment(await sign(Buffer.from(signed, 'ascii')))}`
}

/** The first message of a stream, and the stream as if it had not been looked at. */
const peek = async <M>(messages: AsyncIterable<M>): Promise<{ readonly first: M | undefined; readonly all: AsyncIterable<M> }> => {
  const reader = messages[Symbol.asyncIterator]()
  const first = await reader.next()
  async function* all(): AsyncGenerator<M> {
    if (first.done === true) return
    yield first.value
    yield* { [Symbol.asyncIterator]: () => reader }
  }
  return { first: first.done === true ? undefined : first.value, all: all() }
}

const proveOne = async (secret: EndUserSecret, request: UnaryRequest | StreamRequest, message?: MessageShape<DescMessage>) => {
  const { host, pathname } = new URL(request.url)
  const body = message === undefined ? new Uint8Array(0) : toBinary(request.method.input, message)
  request.header.set('x-wallet-auth', await signRequest(secret, { authority: host, path: pathname, body }))
  if (secret.walletSecretId !== undefined) request.header.set('x-wallet-secret-id', secret.walletSecretId)
}

/** Shows who calls, with every call. */
export const withEndUser =
  ({ accessToken, walletSecret }: EndUserCredentials): Interceptor =>
  (next) =>
  async (request) => {
    const token = typeof accessToken === 'string' ? accessToken : await accessToken()
    request.header.set('authorization', `Bearer ${token}`)
    if (walletSecret === undefined || READS.test(request.method.name)) return next(request)
    if (!request.stream) {
      await proveOne(walletSecret, request, request.message)
      return next(request)
    }
    const { first, all } = await peek(request.message)
    await proveOne(walletSecret, request, first)
    return next({ ...request, message: all })
  }
