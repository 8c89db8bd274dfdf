/** What is served, as both kinds of listener take it. */
import type { DescMethod, DescService } from '@bufbuild/protobuf'
import type { ServiceImpl } from '@connectrpc/connect'
import { SERVICES } from './access.ts'

export type Implementations = { readonly [S in keyof typeof SERVICES]: ServiceImpl<(typeof SERVICES)[S]> }

export type MountedService = {
  readonly name: keyof typeof SERVICES
  readonly desc: DescService
  readonly implementation: ServiceImpl<DescService>
}

export const listServices = (implementations: Implementations): readonly MountedService[] =>
  (Object.keys(SERVICES) as (keyof typeof SERVICES)[]).map((name) => ({
    name,
    desc: SERVICES[name],
    implementation: implementations[name],
  }))

const KIB = 1024
const MAX_REQUEST_BYTES = 256 * KIB
/** Transactions carry contract code and long access lists. */
export const MAX_TRANSACTION_REQUEST_BYTES = 1536 * KIB

const { signTransaction, sendTransaction, signStream } = SERVICES.wallet.method
const { cosign } = SERVICES.delegation.method
const LARGE: ReadonlySet<DescMethod> = new Set<DescMethod>([signTransaction, sendTransaction, signStream, cosign])

export const maxRequestBytes = (method: DescMethod): number =>
  LARGE.has(method) ? MAX_TRANSACTION_REQUEST_BYTES : MAX_REQUEST_BYTES

export const MAX_STREAMS_PER_CONNECTION = 256
export const BODY_TIMEOUT_MS = 10_000
