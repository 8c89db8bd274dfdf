import { join, resolve } from 'node:path'
import type { ClientTask } from './client-report.ts'
import type { JsonCall, JsonError } from './json-client.ts'
import { runProgram, runToSuccess } from './run-program.ts'

const root = resolve(import.meta.dirname, '../..')
const BUF = join(root, 'node_modules/.bin/buf')
const WALLET_SERVICE = 'countersign.v1.WalletService'

/** Where buf curl is to call: `flags` chooses protocol and socket, `origin` is the URL before the path. */
export type BufTarget = { readonly origin: string; readonly flags: readonly string[] }

export const bufOverGrpc = (endpoint: string): BufTarget => ({
  origin: `http://${endpoint}`,
  flags: ['--protocol', 'grpc', '--http2-prior-knowledge'],
})
export const bufOverSocket = (path: string): BufTarget => ({
  origin: 'http://localhost',
  flags: ['--protocol', 'grpc', '--http2-prior-knowledge', '--unix-socket', path],
})
export const bufOverConnect = (endpoint: string): BufTarget => ({
  origin: `http://${endpoint}`,
  flags: ['--protocol', 'connect', '--http2-prior-knowledge'],
})

/** buf curl, which learns the schema by server reflection. Run outside the repository so that it finds no other. */
export const bufCall =
  ({ origin, flags }: BufTarget, cwd: string) =>
  ({ api_key }: ClientTask): JsonCall =>
  async (method, request) => {
    const url = `${origin}/${WALLET_SERVICE}/${method}`
    const header = `authorization: Bearer ${api_key}`
    const args = ['curl', ...flags, '--reflect-header', header, '-H', header, '-d', JSON.stringify(request), url]
    const { code, stdout, stderr } = await runProgram(BUF, args, { cwd })
    if (code === 0) return { ok: true, message: JSON.parse(stdout) }
    // The gRPC code is the exit code's upper bits; a smaller one is buf's own failure.
    if (code === null || code < 8) throw new Error(`buf curl ${method} ended with ${code}\n${stderr}`)
    return { ok: false, error: JSON.parse(stderr) as JsonError }
  }

/** The services a listener's reflection names. */
export const listServices = async ({ origin, flags }: BufTarget, cwd: string): Promise<string[]> => {
  const stdout = await runToSuccess(BUF, ['curl', ...flags, '--list-services', origin], { cwd })
  return stdout.trim().split('\n')
}

/** A plain HTTP/1.1 POST of JSON, as any HTTP client makes it (Connect protocol, unary). */
export const fetchCall =
  (endpoint: string) =>
  ({ api_key }: ClientTask): JsonCall =>
  async (method, request) => {
    const response = await fetch(`http://${endpoint}/${WALLET_SERVICE}/${method}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${api_key}` },
      body: JSON.stringify(request),
    })
    const body: unknown = await response.json()
    return response.ok ? { ok: true, message: body } : { ok: false, error: body as JsonError }
  }
