/**
 * Sends transactions in parallel over and over and kills the daemon with SIGKILL at any moment of it, on one data directory
 * and one chain. After each death and restart, every request id asked again: each transaction is confirmed, the chain holds
 * each once, nonces are contiguous, and whatever was signed again was signed as it was.
 *
 *     npm run campaign:send -- [--rounds 50] [--seed 1]
 */
import { randomUUID } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Hex } from 'viem'
import { TransactionState } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { startAnvil } from '../client/start-anvil.ts'
import { detailOf, rowsOfKind } from './audit-rows.ts'
import { type CampaignOptions, must, randomOf, runFromCommandLine } from './campaign.ts'
import { connect, newWallet } from './callers.ts'
import { makeDataDir, startDaemon, type TestDaemon } from './start-daemon.ts'

export type SendTotals = { rounds: number; sent: number; resigned: number }

const AT_ONCE = 25
const TO = '0x00000000000000000000000000000000000000bb'
const MAX_DELAY_MS = 900

type Asked = { readonly requestId: string; readonly value: bigint }

/** To the end of the stream; answers the last state. */
const follow = async (client: CountersignClient, { requestId, value }: Asked): Promise<TransactionState | undefined> => {
  const transaction = { case: 'evm', value: { to: TO, value: String(value) } } as const
  let state: TransactionState | undefined
  for await (const said of client.wallets.sendTransaction({ wallet: 'sender', network: 'linea', confirmations: 1, requestId, transaction }))
    state = said.transaction?.state
  return state
}

/** How many were signed more than once, each time the same. */
const resigned = async (client: CountersignClient): Promise<number> => {
  const digests = new Map<string, string[]>()
  for (const row of await rowsOfKind(client, 'sign.intent', 0n)) {
    const send = String(detailOf(row, 'send'))
    digests.set(send, [...(digests.get(send) ?? []), String(detailOf(row, 'digest'))])
  }
  for (const [send, made] of digests) must(new Set(made).size === 1, `${send} was signed as two`)
  return [...digests.values()].filter((made) => made.length > 1).length
}

export const sendCampaign = async ({ rounds, seed, say }: CampaignOptions): Promise<SendTotals> => {
  const random = randomOf(seed)
  const dataDir = makeDataDir()
  await using anvil = await startAnvil(59_144)
  const config = join(dataDir, 'countersign.toml')
  writeFileSync(config, ['egress_allow = "127.0.0.1"', '[[chain]]', 'network = "linea"', 'chain_id = 59144', `rpc = "${anvil.rpcUrl}"`, 'poll_ms = 50'].join('\n'))
  const start = (): Promise<TestDaemon> => startDaemon({ dataDir, keepData: true, args: ['--config', config] })
  let daemon = await start()
  let client = connect(daemon, daemon.adminKey)
  try {
    const address = (await newWallet(client, 'sender')).address as Hex
    await anvil.fund(address, 10n ** 24n)
    let [sent, moved] = [0, 0n]
    for (let round = 1; round <= rounds; round++) {
      const asked = Array.from({ length: AT_ONCE }, (): Asked => ({ requestId: randomUUID(), value: BigInt(++sent) }))
      for (const { value } of asked) moved += value
      const cutOff = Promise.allSettled(asked.map((one) => follow(client, one)))
      await sleep(random() * MAX_DELAY_MS)
      client.close()
      await daemon.kill('SIGKILL')
      await cutOff
      daemon = await start()
      client = connect(daemon, daemon.adminKey)
      const states = await Promise.all(asked.map((one) => follow(client, one)))
      must(states.every((state) => state === TransactionState.CONFIRMED), `round ${round} ends in ${states.join(', ')}`)
      must((await anvil.node.getTransactionCount({ address })) === sent, `the chain counts other than ${sent}`)
      must((await anvil.node.getBalance({ address: TO })) === moved, 'the chain moved something else')
      say(`${round}: ${sent} sent`)
    }
    return { rounds, sent, resigned: await resigned(client) }
  } finally {
    client.close()
    await daemon.kill('SIGKILL')
    rmSync(dataDir, { recursive: true, force: true })
  }
}

if (import.meta.main) await runFromCommandLine(sendCampaign)
