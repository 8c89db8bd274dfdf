/** The daemon's edge alone: who calls, may they, is the request valid, and an answer that nobody worked for. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { processTerminal } from '../src/commands/run-command.ts'
import type { ApiKeyId, ProjectId } from '../src/domain/ids.ts'
import type { ApiKeyRecord } from '../src/rpc/authenticate.ts'
import { openEdge } from '../src/rpc/edge.ts'
import { NO_END_USERS } from '../src/rpc/end-users.ts'
import type { SignedDigest, UseCases } from '../src/rpc/use-cases.ts'
import { watchProcess } from './process-watch.ts'

const bytes = (length: number): Uint8Array => new Uint8Array(randomBytes(length))
const answer: SignedDigest = {
  signature: { r: bytes(32), s: bytes(32), yParity: 1 },
  digest: bytes(32),
  receipt: { sequence: 1n, hash: bytes(32), signature: bytes(64), keyId: 'echo' },
}
const key: ApiKeyRecord = {
  apiKeyId: `key_${'0'.repeat(16)}` as ApiKeyId,
  projectId: 'default' as ProjectId,
  permissions: new Set(['wallet:sign']),
  requestsPerSecond: 0,
  allowedCidrs: [],
  expireTimeMs: undefined,
}
const secret = `csk_${randomBytes(32).toString('base64url')}`
/** Nothing else is asked here. */
const useCases = { signing: { signMessage: async () => answer } } as unknown as UseCases
const ignore = (): void => {}

const { values } = parseArgs({ options: { 'data-dir': { type: 'string' } }, strict: false })
const dataDir = String(values['data-dir'])
const letGo = watchProcess()
const { stop } = processTerminal()
const edge = await openEdge({
  useCases,
  directory: { findBySecret: (text) => (text === secret ? key : undefined), findById: () => key },
  users: NO_END_USERS,
  idempotency: {
    claim: async () => ({ kind: 'claimed' }),
    finish: async () => {},
    abandon: async () => {},
    interrupt: async () => {},
    assertReleasable: ignore,
  },
  recordDenial: async () => {},
  events: {
    onCall: ignore,
    onInternalError: (_method, error) => {
      throw error
    },
    onReloaded: ignore,
    onRefused: ignore,
    onStaleSocketRemoved: ignore,
  },
  clock: { nowMs: () => Date.now(), monotonicNs: () => process.hrtime.bigint() },
  listen: {
    grpc: { host: '127.0.0.1', port: 0 },
    connect: { host: '127.0.0.1', port: 0 },
    boundSockets: [],
    tlsIdentities: [],
    allowPlaintextBeyondLoopback: false,
    maxConcurrentRequests: 1_024,
  },
})
edge.setServing(true)
mkdirSync(dataDir, { recursive: true })
writeFileSync(join(dataDir, 'admin.key'), `${secret}\n`)
// Whole or not at all: the parent reads it as soon as it is there.
writeFileSync(join(dataDir, 'endpoints.new'), JSON.stringify({ grpc: edge.grpcAddress }))
renameSync(join(dataDir, 'endpoints.new'), join(dataDir, 'endpoints.json'))
if (!stop.aborted) await once(stop, 'abort')
await edge.stop(0)
letGo()
