/**
 * Clients in other languages against the real daemon: Python and Go built from Debian's packages, buf curl by
 * reflection, plain HTTP and the published TypeScript client, over TCP and the unix socket; then the protocol's second
 * implementation against the engine. Every check prints a line; the exit code is 1 when one failed. `--install`, or
 * CI=true, lets root install Debian packages that are missing.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startAnvil } from '../client/start-anvil.ts'
import { type Endpoints, startDaemon } from '../e2e/start-daemon.ts'
import { buildGoClient, buildPythonClient } from './build-clients.ts'
import { type Checks, createChecks } from './checks.ts'
import type { InteropClient } from './client-report.ts'
import { requirePackages } from './debian-packages.ts'
import { bufCall, bufOverConnect, bufOverGrpc, bufOverSocket, fetchCall, listServices } from './json-calls.ts'
import { jsonClient } from './json-client.ts'
import { judgeClient } from './judge.ts'
import { judgeSidecar } from './judge-sidecar.ts'
import { programClient } from './program-client.ts'
import { judgeSecondParty } from './second-party.ts'
import { typescriptClient } from './typescript-client.ts'

const SERVICES = [
  'countersign.v1.AdminService',
  'countersign.v1.AuditService',
  'countersign.v1.WalletService',
  'grpc.health.v1.Health',
]

type Commands = { readonly python: readonly string[] | undefined; readonly go: readonly string[] | undefined }

/** Builds what can be built; each failure is its own line. */
const buildClients = async (checks: Checks, folder: string): Promise<Commands> => {
  let python: readonly string[] | undefined
  let go: readonly string[] | undefined
  const mayInstall = process.argv.includes('--install') || process.env['CI'] === 'true'
  const present = await checks.check('Debian packages are present', () => requirePackages(mayInstall))
  if (!present) return { python, go }
  await checks.check('Python stubs are generated', async () => {
    python = await buildPythonClient(join(folder, 'python'))
  })
  await checks.check('Go stubs are generated and the client compiles', async () => {
    go = await buildGoClient(join(folder, 'go'))
  })
  return { python, go }
}

const clientsFor = ({ grpc, connect, socket }: Endpoints, { python, go }: Commands, folder: string): InteropClient[] => {
  const unix = `unix://${socket}`
  const program = (language: string, command: readonly string[] | undefined) =>
    command === undefined
      ? []
      : [programClient(`${language} over TCP`, grpc, command), programClient(`${language} over unix socket`, unix, command)]
  return [
    ...program('Python', python),
    ...program('Go', go),
    typescriptClient('TypeScript over TCP', grpc),
    typescriptClient('TypeScript over unix socket', unix),
    jsonClient('buf curl over TCP', grpc, bufCall(bufOverGrpc(grpc), folder)),
    jsonClient('buf curl over unix socket', unix, bufCall(bufOverSocket(socket), folder)),
    jsonClient('buf curl over Connect', connect, bufCall(bufOverConnect(connect), folder)),
    jsonClient('JSON over HTTP', connect, fetchCall(connect)),
  ]
}

const checkReflection = async (checks: Checks, { grpc, connect, socket }: Endpoints, folder: string): Promise<void> => {
  const targets = { TCP: bufOverGrpc(grpc), 'unix socket': bufOverSocket(socket), Connect: bufOverConnect(connect) }
  for (const [name, target] of Object.entries(targets)) {
    await checks.check(`reflection over ${name} lists every service`, async () => {
      const services = await listServices(target, folder)
      for (const service of SERVICES) assert.ok(services.includes(service), `${service} is not in ${services.join(', ')}`)
    })
  }
}

const judgeAll = async (checks: Checks, commands: Commands, folder: string): Promise<void> => {
  await using anvil = await startAnvil()
  await using daemon = await startDaemon()
  await checkReflection(checks, daemon.endpoints, folder)
  for (const client of clientsFor(daemon.endpoints, commands, folder)) {
    await judgeClient(client, checks, daemon.adminKey, anvil)
  }
}

/** The other program beside it. */
const sidecarOf = (python: Commands['python']): Commands['python'] => python?.map((part) => part.replace(/client\.py$/, 'sidecar.py'))

const print = (line: string) => process.stdout.write(`${line}\n`)
const checks = createChecks(print)
const folder = mkdtempSync(join(tmpdir(), 'countersign-interop-'))
try {
  const commands = await buildClients(checks, folder)
  await checks.check('daemon and anvil start', () => judgeAll(checks, commands, folder))
  await checks.check('a sidecar starts', () => judgeSidecar(checks, sidecarOf(commands.python)))
  await checks.check('the second implementation runs to its end', () => judgeSecondParty(checks))
} finally {
  rmSync(folder, { recursive: true, force: true })
}
const failed = checks.failed()
print(`${checks.passed()} passed, ${failed.length} failed${failed.length === 0 ? '' : `: ${failed.join(' | ')}`}`)
process.exitCode = failed.length === 0 ? 0 : 1
