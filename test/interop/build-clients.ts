import { cpSync, mkdirSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { runToSuccess } from './run-program.ts'

const root = resolve(import.meta.dirname, '../..')
const PROTO = join(root, 'proto')
/** Debian's, whatever comes first in PATH: its gRPC and protobuf modules belong to this one. */
export const PYTHON = '/usr/bin/python3'
const DEBIAN_GOPATH = '/usr/share/gocode'
const VALIDATE_MAPPING = 'Mbuf/validate/validate.proto=countersign.dev/interop/validate'

const countersignProtos = (): string[] =>
  readdirSync(join(PROTO, 'countersign/v1')).map((name) => `countersign/v1/${name}`)

/** Generates the Python stubs into `folder` and returns the command line of the client. */
export const buildPythonClient = async (folder: string): Promise<readonly string[]> => {
  mkdirSync(folder, { recursive: true })
  await runToSuccess('/usr/bin/protoc', [
    `--proto_path=${PROTO}`,
    `--python_out=${folder}`,
    `--grpc_python_out=${folder}`,
    '--plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin',
    ...countersignProtos(),
    'buf/validate/validate.proto',
    'google/rpc/error_details.proto',
    'google/rpc/status.proto',
  ])
  for (const name of ['client.py', 'sidecar.py']) cpSync(join(import.meta.dirname, 'python', name), join(folder, name))
  return [PYTHON, '-E', '-s', join(folder, 'client.py')]
}

/**
 * Generates the Go stubs into a GOPATH at `folder`, where the protos' own go_package puts them, compiles the client
 * against Debian's libraries and returns its command line.
 */
export const buildGoClient = async (folder: string): Promise<readonly string[]> => {
  const source = join(folder, 'src')
  const program = join(source, 'countersign.dev/interop/client')
  mkdirSync(program, { recursive: true })
  await runToSuccess('/usr/bin/protoc', [
    `--proto_path=${PROTO}`,
    '--plugin=protoc-gen-go=/usr/bin/protoc-gen-go',
    '--plugin=protoc-gen-go-grpc=/usr/bin/protoc-gen-go-grpc',
    `--go_out=${source}`,
    `--go_opt=${VALIDATE_MAPPING}`,
    `--go-grpc_out=${source}`,
    `--go-grpc_opt=${VALIDATE_MAPPING}`,
    ...countersignProtos(),
    'buf/validate/validate.proto',
  ])
  cpSync(join(import.meta.dirname, 'go/client.go'), join(program, 'client.go'))
  const binary = join(folder, 'client')
  const env = { GO111MODULE: 'off', GOPATH: `${folder}:${DEBIAN_GOPATH}`, GOFLAGS: '', GOPROXY: 'off', CGO_ENABLED: '0' }
  const cache: Record<string, string> = process.env['HOME'] === undefined ? { GOCACHE: join(folder, 'cache') } : {}
  const options = { env: { ...env, ...cache }, timeoutMs: 600_000 }
  await runToSuccess('/usr/bin/go', ['build', '-o', binary, 'countersign.dev/interop/client'], options)
  return [binary]
}
