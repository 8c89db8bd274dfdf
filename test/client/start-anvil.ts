import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { createPublicClient, createTestClient, http, type Address, type Chain, type Hex, type PublicClient } from 'viem'
import { foundry } from 'viem/chains'

export type Anvil = {
  readonly rpcUrl: string
  readonly chainId: number
  readonly chain: Chain
  readonly node: PublicClient
  /** Gives an address that many wei. */
  readonly fund: (address: Address, wei: bigint) => Promise<void>
  readonly mine: (blocks: number) => Promise<void>
  /** What `revert` goes back to: a reorganisation, as far as anybody who asks can tell. */
  readonly snapshot: () => Promise<Hex>
  readonly revert: (id: Hex) => Promise<void>
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' }

/** The platform package's own binary: its Node wrapper would outlive a killed parent. */
const binaryPath = (): string => {
  const require = createRequire(import.meta.url)
  return require.resolve(`@foundry-rs/anvil-${process.platform}-${ARCHITECTURES[process.arch]}/bin/anvil`)
}

/** Starts an EVM node on a free port and waits until it listens. */
export const startAnvil = async (chainId: number = foundry.id): Promise<Anvil> => {
  const child = spawn(binaryPath(), ['--host', '127.0.0.1', '--port', '0', '--chain-id', String(chainId)], { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = new Promise<void>((done) => child.once('close', () => done()))
  let output = ''
  const address = await new Promise<string>((listening, failed) => {
    const read = (chunk: Buffer) => {
      output += chunk.toString()
      const match = /Listening on ([0-9.]+:[0-9]+)/.exec(output)
      if (match !== null) listening(match[1] as string)
    }
    child.stdout.on('data', read)
    child.stderr.on('data', read)
    child.once('error', failed)
    child.once('close', (code) => failed(new Error(`anvil ended with ${code}:\n${output}`)))
  })
  const rpcUrl = `http://${address}`
  const transport = http(rpcUrl)
  const chain = { ...foundry, id: chainId }
  const test = createTestClient({ mode: 'anvil', chain, transport })
  return {
    rpcUrl,
    chainId,
    chain,
    node: createPublicClient({ chain, transport, pollingInterval: 20 }),
    fund: (to, wei) => test.setBalance({ address: to, value: wei }),
    mine: (blocks) => test.mine({ blocks }),
    snapshot: () => test.snapshot(),
    revert: (id) => test.revert({ id }),
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGTERM')
      await ended
    },
  }
}
