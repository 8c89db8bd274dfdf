import { existsSync } from 'node:fs'
import { runProgram, runToSuccess } from './run-program.ts'

/**
 * What the Python and Go clients are built from: Debian 12's own packages, nothing newer. protobuf 1.5 for Go is named
 * because grpc-go is also content with 1.3, whose stubs panic beside protoc-gen-go 1.28.
 */
export const PACKAGES = [
  'protobuf-compiler',
  'libprotobuf-dev',
  'protobuf-compiler-grpc',
  'python3',
  'python3-grpcio',
  'python3-protobuf',
  'golang-go',
  'golang-google-grpc-dev',
  'golang-google-protobuf-dev',
  'golang-github-golang-protobuf-1-5-dev',
  'golang-google-genproto-dev',
  'protoc-gen-go',
  'protoc-gen-go-grpc',
] as const

const isInstalled = async (name: string): Promise<boolean> => {
  const { stdout } = await runProgram('dpkg-query', ['-W', '-f', '${db:Status-Status}', name])
  return stdout === 'installed'
}

const missingPackages = async (): Promise<string[]> => {
  if (!existsSync('/usr/bin/dpkg-query')) return [...PACKAGES]
  const installed = await Promise.all(PACKAGES.map(isInstalled))
  return PACKAGES.filter((_, index) => installed[index] !== true)
}

const install = async (names: readonly string[]): Promise<void> => {
  const env = { DEBIAN_FRONTEND: 'noninteractive' }
  const lock = ['-q', '-o', 'DPkg::Lock::Timeout=300']
  const timeoutMs = 900_000
  await runToSuccess('apt-get', [...lock, 'update'], { env, timeoutMs })
  await runToSuccess('apt-get', [...lock, 'install', '-y', '--no-install-recommends', ...names], { env, timeoutMs })
}

const canInstall = (): boolean => process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')

/** Names what is missing. Installs it first where that is asked for and this process is root on a Debian system. */
export const requirePackages = async (mayInstall: boolean): Promise<void> => {
  const missing = await missingPackages()
  if (missing.length > 0 && mayInstall && canInstall()) await install(missing)
  const stillMissing = missing.length === 0 ? [] : await missingPackages()
  if (stillMissing.length === 0) return
  const command = `apt-get install --no-install-recommends ${stillMissing.join(' ')}`
  throw new Error(`missing Debian packages: ${stillMissing.join(', ')}\ninstall them with: ${command}`)
}
