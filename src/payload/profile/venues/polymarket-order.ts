import type { Expression } from '../expression.ts'
import type { Bindings, Confidence, Flow, FlowPurpose, SignSpec } from '../profile.ts'
import type { Members } from '../shape.ts'
import { BOOLEAN, big, integer, text, words } from './shapes.ts'

/**
 * What both profiles of Polymarket have in common: the order of its exchanges' version 2 and 3, its form in the body of
 * POST /order, and the headers that an HMAC credential makes (L2).
 */

const BYTES32: Members[string] = { optional: { kind: 'hex', bytes: 32 } }
const ZERO_WORD = `0x${'00'.repeat(32)}`

/** Amounts in units of 10⁻⁶: of the collateral that is given or taken, and of outcome tokens. */
export const ORDER_FIELDS: Members = {
  exchange: words('standard', 'neg_risk', 'v3'),
  salt: integer(0, Number.MAX_SAFE_INTEGER),
  tokenId: big(256),
  side: words('BUY', 'SELL'),
  makerAmount: big(128, 1),
  takerAmount: big(128, 1),
  metadata: BYTES32,
  builder: BYTES32,
  orderType: words('GTC', 'GTD', 'FOK', 'FAK'),
  expiration: { optional: big(64) },
  postOnly: { optional: BOOLEAN },
}

const ORDER_TYPE_FIELDS =
  'uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,uint256 takerAmount,uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,bytes32 builder'

export const ORDER_TYPES = { Order: ORDER_TYPE_FIELDS }
const WRAPPED_TYPES = {
  TypedDataSign: 'Order contents,string name,string version,uint256 chainId,address verifyingContract,bytes32 salt',
  ...ORDER_TYPES,
}

export const exchangeDomain = (fields: string): Expression => ({
  name: 'Polymarket CTF Exchange',
  version: ['@map', { standard: '2', neg_risk: '2', v3: '3' }, `${fields}.exchange`],
  chainId: '$net.chainId',
  verifyingContract: [
    '@map',
    {
      standard: '0xE111180000d2663C0091e4f400237545B87B996B',
      neg_risk: '0xe2222d279d744050d28e00520010520000310F59',
      v3: '0xe3333700cA9d93003F00f0F71f8515005F6c00Aa',
    },
    `${fields}.exchange`,
  ],
})

/** `maker` and `signer` are addresses, `signatureType` 0 EOA, 1 proxy, 2 Safe, 3 ERC-1271. */
export const orderMessage = (
  fields: string,
  maker: Expression,
  signer: Expression,
  signatureType: Expression,
): { readonly [field: string]: Expression } => ({
  salt: `${fields}.salt`,
  maker,
  signer,
  tokenId: `${fields}.tokenId`,
  makerAmount: `${fields}.makerAmount`,
  takerAmount: `${fields}.takerAmount`,
  side: ['@map', { BUY: 0, SELL: 1 }, `${fields}.side`],
  signatureType,
  timestamp: '$timeMs',
  metadata: ['@or', `${fields}.metadata`, ZERO_WORD],
  builder: ['@or', `${fields}.builder`, ZERO_WORD],
})

/** The body of POST /order. `expiration` is sent and not signed. */
export const orderBody = (
  fields: string,
  message: { readonly [field: string]: Expression },
  signature: Expression,
): Expression => ({
  deferExec: false,
  postOnly: ['@or', `${fields}.postOnly`, false],
  order: {
    salt: `${fields}.salt`,
    maker: ['@checksum', message['maker'] ?? null],
    signer: ['@checksum', message['signer'] ?? null],
    tokenId: ['@str', `${fields}.tokenId`],
    makerAmount: ['@str', `${fields}.makerAmount`],
    takerAmount: ['@str', `${fields}.takerAmount`],
    side: `${fields}.side`,
    expiration: ['@str', ['@or', `${fields}.expiration`, '0']],
    signatureType: message['signatureType'] ?? null,
    timestamp: ['@str', '$timeMs'],
    metadata: message['metadata'] ?? null,
    builder: message['builder'] ?? null,
    signature,
  },
  owner: '$cred.apiKey',
  orderType: `${fields}.orderType`,
})

/** ERC-7739: an order that a deposit wallet's signer signs inside the exchange's domain. */
export const signWrapped = (
  by: 'wallet' | 'session',
  fields: string,
  message: { readonly [field: string]: Expression },
): SignSpec => ({
  by,
  scheme: 'eip712',
  domain: exchangeDomain(fields),
  types: WRAPPED_TYPES,
  primaryType: 'TypedDataSign',
  message: {
    contents: message,
    name: 'DepositWallet',
    version: '1',
    chainId: '$net.chainId',
    verifyingContract: '$params.depositWallet',
    salt: ZERO_WORD,
  },
})

const ORDER_TYPE_TEXT = `Order(${ORDER_TYPE_FIELDS})`

/** Inner signature ‖ the exchange's domain separator ‖ hash of the order ‖ its type ‖ the length of that. */
export const wrappedSignature = (
  fields: string,
  message: { readonly [field: string]: Expression },
  inner: string,
): Expression => [
  '@cat',
  inner,
  ['@domainSep', exchangeDomain(fields)],
  ['@structHash', ORDER_TYPES, 'Order', message],
  ['@utf8', ORDER_TYPE_TEXT],
  ['@u', 2, ORDER_TYPE_TEXT.length],
]

export const CREDENTIALS: Members = {
  apiKey: text(64, '[A-Za-z0-9-]{1,64}'),
  secret: { kind: 'base64', max: 96 },
  passphrase: text(128, '[A-Za-z0-9_-]{1,128}'),
}

const SECONDS: Expression = ['@str', ['@div', '$timeMs', 1000]]

export const requestBindings = (method: string, path: Expression, body?: Expression): Bindings => [
  ['method', method],
  ['path', path],
  ['body', body === undefined ? '' : ['@json', body]],
]

/** HMAC over the seconds, method, path without query, and body. */
export const signRequest = (bindings: Bindings): SignSpec => ({
  by: 'credential',
  let: bindings,
  scheme: 'hmac-sha256',
  message: ['@utf8', ['@join', '', [SECONDS, '$method', '$path', '$body']]],
})

export const requestHeaders = (address: Expression): { readonly [name: string]: Expression } => ({
  'content-type': 'application/json',
  POLY_ADDRESS: ['@checksum', address],
  POLY_SIGNATURE: ['@b64up', '$sig.bytes'],
  POLY_TIMESTAMP: SECONDS,
  POLY_API_KEY: '$cred.apiKey',
  POLY_PASSPHRASE: '$cred.passphrase',
})

/** A request that its headers alone sign; `address` is whose the credential is. */
export const byCredential = (address: Expression, confidence: Confidence) =>
  (purpose: FlowPurpose, method: 'GET' | 'DELETE', path: Expression, body?: '$action'): Flow => ({
    purpose,
    confidence,
    sign: [signRequest(requestBindings(method, path, body))],
    http: { method, path: '$path', headers: requestHeaders(address), ...(body === undefined ? {} : { body: '$body' }) },
  })

/** ClobAuth: who signs it gets credentials of the address (L1). */
export const signClobAuth = (by: 'wallet' | 'session', address: Expression): SignSpec => ({
  by,
  scheme: 'eip712',
  domain: { name: 'ClobAuthDomain', version: '1', chainId: '$net.chainId' },
  types: { ClobAuth: 'address address,string timestamp,uint256 nonce,string message' },
  primaryType: 'ClobAuth',
  message: {
    address,
    timestamp: SECONDS,
    nonce: ['@or', '$input.nonce', 0],
    message: 'This message attests that I control the given wallet',
  },
})

export const clobAuthHeaders = (address: Expression): { readonly [name: string]: Expression } => ({
  POLY_ADDRESS: ['@checksum', address],
  POLY_SIGNATURE: '$sig.hex',
  POLY_TIMESTAMP: SECONDS,
  POLY_NONCE: ['@str', ['@or', '$input.nonce', 0]],
})

export const CREDENTIAL_ANSWER = { apiKey: 'apiKey', secret: 'secret', passphrase: 'passphrase' }
export const CLOB_AUTH_INPUT: Members = { nonce: { optional: big(256) } }

/** Both exchanges are on Polygon; the test network has them at the same addresses. */
export const NETWORKS = {
  polygon: { chainId: 137, rest: 'https://clob.polymarket.com' },
  amoy: { chainId: 80002 },
}

const ORDER_HASH = { kind: 'hex', bytes: 32 } as const
export const CANCEL: Members = { orderID: ORDER_HASH }
