/** A Solana cluster of one: the virtual machine of litesvm behind the JSON-RPC that nodes speak, over real HTTP. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Address, getTransactionDecoder, lamports } from '@solana/kit'
import { FailedTransactionMetadata, LiteSVM, type TransactionMetadata } from 'litesvm'
import { encodeBase58 } from '../../src/domain/base58.ts'

type Params = readonly unknown[]
/** What a node says of a question; `honest` asks the machine. A throw is a JSON-RPC error; `raw` the whole body as text. */
export type Bend = (method: string, params: Params, honest: () => unknown) => unknown
export class RawBody {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

type Landed = {
  readonly wire: Uint8Array
  readonly slot: number
  readonly err: unknown
  readonly meta: TransactionMetadata
}

export type SolanaCluster = {
  readonly rpcUrl: string
  readonly genesisHash: string
  readonly svm: LiteSVM
  readonly airdrop: (to: Address, amount: bigint) => void
  /** Executes at once and throws where it fails; answers the signature. */
  readonly execute: (wire: Uint8Array) => string
  /** So many slots, each a block, pass; a blockhash lives for 150. */
  readonly advance: (slots: number) => void
  readonly blockhash: () => string
  /** What sendTransaction does: `land` at once, `drop` for good, `hold` until `release`. */
  mode: 'land' | 'drop' | 'hold'
  readonly release: () => void
  /** How many slots behind the newest a block is confirmed, and final. */
  depths: { confirmed: number; finalized: number }
  /** How often each transaction was sent. */
  readonly sends: Map<string, number>
  readonly landed: ReadonlyMap<string, Landed>
  /** What `rollBack` goes back to: a fork that was given up, as far as anybody who asks can tell. */
  readonly snapshot: () => () => void
  /** Another node of the cluster, which says what `bend` makes of it. */
  readonly listen: (bend: Bend) => Promise<string>
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

const BLOCKHASH_BLOCKS = 150

class RpcError extends Error {
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

const decodeWire = (wire: Uint8Array) => getTransactionDecoder().decode(wire)
const signatureOf = (wire: Uint8Array): string => encodeBase58(wire.subarray(1, 65))
/** Of a legacy or version 0 message behind its signatures. */
const blockhashOf = (wire: Uint8Array): string => {
  const message = wire.subarray(1 + 64 * (wire[0] ?? 0))
  const at = (message[0] ?? 0) >= 0x80 ? 4 : 3
  const keys = message[at] ?? 0
  return encodeBase58(message.subarray(at + 1 + 32 * keys, at + 33 + 32 * keys))
}

class Cluster {
  svm = new LiteSVM().withBlockhashCheck(false).withTransactionHistory(100_000n)
  readonly genesisHash = encodeBase58(randomBytes(32))
  slot = 1_000
  mode: 'land' | 'drop' | 'hold' = 'land'
  depths = { confirmed: 0, finalized: 0 }
  held = new Map<string, Uint8Array>()
  landed = new Map<string, Landed>()
  readonly sends = new Map<string, number>()
  blockhashes: { readonly hash: string; readonly slot: number }[] = [{ hash: encodeBase58(randomBytes(32)), slot: 1_000 }]

  advance(slots: number): void {
    this.slot += slots
    this.svm.warpToSlot(BigInt(this.slot))
    this.blockhashes.unshift({ hash: encodeBase58(randomBytes(32)), slot: this.slot })
    this.blockhashes = this.blockhashes.filter(({ slot }) => this.slot - slot <= BLOCKHASH_BLOCKS)
  }

  /** Throws RpcError for what no block would take. */
  execute(wire: Uint8Array): Landed {
    if (!this.blockhashes.some(({ hash }) => hash === blockhashOf(wire))) throw new RpcError(-32_002, 'Blockhash not found')
    // In a slot of its own that nobody has read yet: what nodes answer of a slot is all that is in it.
    this.advance(1)
    const result = this.svm.sendTransaction(decodeWire(wire))
    const failed = result instanceof FailedTransactionMetadata
    const meta = failed ? result.meta() : result
    const landed = { wire, slot: this.slot, err: failed ? { InstructionError: [0, result.toString().slice(0, 100)] } : null, meta }
    // What is no transaction at all is in no block.
    if (failed && (meta.computeUnitsConsumed() === 0n || /Signature|AlreadyProcessed/.test(result.toString()))) {
      throw new RpcError(-32_002, `Transaction simulation failed: ${result.toString()}`)
    }
    this.landed.set(signatureOf(wire), landed)
    return landed
  }

  isAt(commitment: unknown, slot: number): boolean {
    const depth = commitment === 'finalized' ? this.depths.finalized : commitment === 'confirmed' ? this.depths.confirmed : 0
    return this.slot - slot >= depth
  }

  send(wire: Uint8Array): string {
    const signature = signatureOf(wire)
    this.sends.set(signature, (this.sends.get(signature) ?? 0) + 1)
    if (this.landed.has(signature) || this.mode === 'drop') return signature
    if (this.mode === 'hold') this.held.set(signature, wire)
    else {
      try {
        this.execute(wire)
      } catch (error) {
        // Without preflight a node takes what no block will.
        if (!(error instanceof RpcError)) throw error
      }
    }
    return signature
  }
}

const accountOf = (svm: LiteSVM, key: Address, slice?: { readonly length: number }) => {
  const found = svm.getAccount(key)
  if (!found.exists) return null
  const data = found.data.slice(0, slice?.length)
  const { executable, lamports: held, programAddress, space } = found
  return { data: [Buffer.from(data).toString('base64'), 'base64'], executable, lamports: Number(held), owner: programAddress, rentEpoch: 0, space: Number(space) }
}

const innerOf = (meta: TransactionMetadata) =>
  meta.innerInstructions().flatMap((calls, index) =>
    calls.length === 0
      ? []
      : [{
          index,
          instructions: calls.map((call) => {
            const made = call.instruction()
            return { programIdIndex: made.programIdIndex(), accounts: [...made.accounts()], data: encodeBase58(made.data()), stackHeight: call.stackHeight() }
          }),
        }],
  )

const transactionOf = ({ wire, slot, err, meta }: Landed) => ({
  slot,
  blockTime: 1_700_000_000,
  version: ((wire[1 + 64 * (wire[0] ?? 0)] ?? 0) & 0x80) === 0 ? 'legacy' : 0,
  meta: { err, fee: 5_000, innerInstructions: innerOf(meta), loadedAddresses: { readonly: [], writable: [] }, logMessages: meta.logs() },
  transaction: [Buffer.from(wire).toString('base64'), 'base64'],
})

const simulate = (cluster: Cluster, wire: Uint8Array) => {
  cluster.svm.withSigverify(false)
  const result = cluster.svm.simulateTransaction(decodeWire(wire))
  cluster.svm.withSigverify(true)
  if (result instanceof FailedTransactionMetadata) return { err: { InstructionError: [0, result.toString().slice(0, 100)] }, logs: result.meta().logs() }
  return { err: null, logs: result.meta().logs(), unitsConsumed: Number(result.meta().computeUnitsConsumed()) }
}

const METHODS: Record<string, (cluster: Cluster, params: Params) => unknown> = {
  getGenesisHash: ({ genesisHash }) => genesisHash,
  getHealth: () => 'ok',
  getSlot: ({ slot }) => slot,
  getBlockHeight: (cluster, [options]) => {
    const { commitment } = (options ?? {}) as { readonly commitment?: string }
    return cluster.slot - (commitment === 'finalized' ? cluster.depths.finalized : cluster.depths.confirmed)
  },
  getLatestBlockhash: (cluster, [options]) => {
    const { commitment } = (options ?? {}) as { readonly commitment?: string }
    const known = cluster.blockhashes.find(({ slot }) => cluster.isAt(commitment, slot)) ?? cluster.blockhashes[0]
    return atSlot(cluster, { blockhash: known?.hash, lastValidBlockHeight: (known?.slot ?? 0) + BLOCKHASH_BLOCKS })
  },
  getBalance: (cluster, [key]) => atSlot(cluster, Number(cluster.svm.getBalance(key as Address) ?? 0n)),
  getAccountInfo: (cluster, [key]) => atSlot(cluster, accountOf(cluster.svm, key as Address)),
  getMultipleAccounts: (cluster, [keys, options]) => {
    const { dataSlice } = options as { readonly dataSlice?: { readonly length: number } }
    return atSlot(cluster, (keys as Address[]).map((key) => accountOf(cluster.svm, key, dataSlice)))
  },
  getMinimumBalanceForRentExemption: (cluster, [space]) => Number(cluster.svm.minimumBalanceForRentExemption(BigInt(space as number))),
  getTransaction: (cluster, [signature, options]) => {
    const { commitment } = options as { readonly commitment?: string }
    const landed = cluster.landed.get(signature as string)
    return landed !== undefined && cluster.isAt(commitment, landed.slot) ? transactionOf(landed) : null
  },
  getSignatureStatuses: (cluster, [signatures]) =>
    atSlot(cluster, (signatures as string[]).map((signature) => {
      const landed = cluster.landed.get(signature)
      if (landed === undefined) return null
      const confirmationStatus = (['finalized', 'confirmed'] as const).find((one) => cluster.isAt(one, landed.slot)) ?? 'processed'
      return { slot: landed.slot, confirmations: confirmationStatus === 'finalized' ? null : cluster.slot - landed.slot, err: landed.err, confirmationStatus }
    })),
  getRecentPrioritizationFees: (cluster) => [{ slot: cluster.slot, prioritizationFee: 0 }, { slot: cluster.slot - 1, prioritizationFee: 1_000 }],
  sendTransaction: (cluster, [wire]) => cluster.send(Buffer.from(wire as string, 'base64')),
  simulateTransaction: (cluster, [wire]) => atSlot(cluster, simulate(cluster, Buffer.from(wire as string, 'base64'))),
}

const atSlot = <T>(cluster: Cluster, value: T) => ({ context: { apiVersion: '3.0.0', slot: cluster.slot }, value })

const answer = async (cluster: Cluster, bend: Bend, body: string): Promise<string> => {
  const { id, method, params = [] } = JSON.parse(body) as { readonly id: number; readonly method: string; readonly params?: Params }
  const honest = (): unknown => {
    const ask = METHODS[method]
    if (ask === undefined) throw new RpcError(-32_601, 'Method not found')
    return ask(cluster, params)
  }
  try {
    const result = await bend(method, params, honest)
    return result instanceof RawBody ? result.text : JSON.stringify({ jsonrpc: '2.0', id, result })
  } catch (error) {
    const code = error instanceof RpcError ? error.code : -32_603
    return JSON.stringify({ jsonrpc: '2.0', id, error: { code, message: error instanceof Error ? error.message : 'internal' } })
  }
}

const serve = async (cluster: Cluster, bend: Bend): Promise<Server> => {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      void answer(cluster, bend, Buffer.concat(chunks).toString()).then((text) => {
        response.setHeader('content-type', 'application/json')
        response.end(text)
      })
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

const urlOf = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`

/** Starts a cluster and a node of it on a free port of loopback. */
export const startLitesvm = async (): Promise<SolanaCluster> => {
  const cluster = new Cluster()
  const servers = [await serve(cluster, (_method, _params, honest) => honest())]
  return {
    rpcUrl: urlOf(servers[0] as Server),
    genesisHash: cluster.genesisHash,
    get svm() {
      return cluster.svm
    },
    airdrop: (to, amount) => void cluster.svm.airdrop(to, lamports(amount)),
    execute: (wire) => {
      const { err, meta } = cluster.execute(wire)
      if (err !== null) throw new Error(meta.logs().join('\n'))
      return signatureOf(wire)
    },
    advance: (slots) => cluster.advance(slots),
    blockhash: () => (cluster.blockhashes[0] as { hash: string }).hash,
    get mode() {
      return cluster.mode
    },
    set mode(mode) {
      cluster.mode = mode
    },
    release: () => {
      for (const wire of cluster.held.values()) cluster.execute(wire)
      cluster.held.clear()
    },
    get depths() {
      return cluster.depths
    },
    set depths(depths) {
      cluster.depths = depths
    },
    sends: cluster.sends,
    get landed() {
      return cluster.landed
    },
    snapshot: () => {
      const [state, landed] = [cluster.svm.toBytes(), new Map(cluster.landed)]
      return () => {
        cluster.svm = LiteSVM.fromBytes(state).withBlockhashCheck(false)
        cluster.landed = landed
      }
    },
    listen: async (bend) => {
      const server = await serve(cluster, bend)
      servers.push(server)
      return urlOf(server)
    },
    [Symbol.asyncDispose]: async () => {
      const closed = Promise.all(servers.map((server) => once(server, 'close')))
      for (const server of servers) {
        server.close()
        server.closeAllConnections()
      }
      await closed
    },
  }
}

