/** The engine alone: both parties in one thread over memory stores, no transport. */
import { median, report } from './report.ts'
import { createLocalPair, type LocalPair } from './local-pair.ts'

const elapsedMs = async (work: () => Promise<unknown>): Promise<number> => {
  const start = process.hrtime.bigint()
  await work()
  return Number(process.hrtime.bigint() - start) / 1e6
}

const repeat = async (times: number, work: () => Promise<unknown>): Promise<number> => {
  const all: number[] = []
  for (let i = 0; i < times; i++) all.push(await elapsedMs(work))
  return median(all)
}

export const benchEngine = async (): Promise<void> => {
  const setups: number[] = []
  for (let i = 0; i < 7; i++) {
    const pair = await createLocalPair()
    setups.push(await elapsedMs(() => pair.c.warm()))
  }
  report('engine.link_setup_ms', median(setups), 'ms')

  const pair = await createLocalPair()
  await pair.c.warm()
  report('engine.keygen_ms', await repeat(50, () => pair.newWallet()), 'ms')
  const wallet = await pair.newWallet()
  await pair.c.presign([wallet])
  const b1 = await repeat(120, () => pair.c.presign([wallet]))
  report('engine.presign_ms.b1', b1, 'ms')
  const sixteen = Array.from({ length: 16 }, () => wallet)
  const b16 = await repeat(20, () => pair.c.presign(sixteen))
  report('engine.presign_ms.b16', b16 / 16, 'ms')

  const ready = await pair.c.presign(sixteen)
  for (let i = 0; i < 15; i++) ready.push(...(await pair.c.presign(sixteen)))
  const online: number[] = []
  for (const job of ready.map(pair.prepare)) online.push(await elapsedMs(() => pair.sign(job)))
  report('engine.online_us', median(online) * 1000, 'us')
  report('engine.share_bytes', await pair.shareBytes(wallet), 'B')
  pair.countBytes()
  await pair.c.presign(sixteen)
  report('engine.presign_bytes', Math.round(pair.countBytes() / 16), 'B')
  await benchEd25519(pair)
}

const benchEd25519 = async ({ ed }: LocalPair): Promise<void> => {
  await ed.newWallet()
  report('engine.ed25519_keygen_ms', await repeat(50, () => ed.newWallet()), 'ms')
  const wallet = await ed.newWallet()
  const sixteen = Array.from({ length: 16 }, () => wallet)
  await ed.presign(sixteen)
  report('engine.ed25519_presign_ms.b16', (await repeat(20, () => ed.presign(sixteen))) / 16, 'ms')
  const online: number[] = []
  for (let i = 0; i < 16; i++) for (const ready of await ed.presign(sixteen)) online.push(await elapsedMs(() => ed.sign(ready)))
  report('engine.ed25519_online_us', median(online) * 1000, 'us')
}
