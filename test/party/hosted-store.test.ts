import { randomBytes } from 'node:crypto'
import { MessageChannel } from 'node:worker_threads'
import { afterEach, describe, expect, it } from 'vitest'
import { decodeFrame, encodeError, encodeFrame, FRAME_TYPES } from '../../src/engine/dkls23/frame.ts'
import { ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { openPortEnd } from '../../src/party/port-calls.ts'
import { hexOf } from '../../src/party/presignature-map.ts'
import { createSigner, type SignerHostCalls } from '../../src/party/signer.ts'
import type { SealedShare } from '../../src/vault/sealed-record.ts'
import type { StoredShare } from '../../src/vault/wallet-shares.ts'
import { typeOf } from './mutator.ts'
import { twoParties } from './two-parties.ts'

const ports: { close: () => void }[] = []
afterEach(() => {
  for (const port of ports.splice(0)) port.close()
})
const unused = (): never => {
  throw new Error('not called')
}

/** Party C as its thread runs it, over real ports, with a host that keeps what it is given in memory. */
const hostedSigner = async () => {
  const two = await twoParties()
  const [frames, calls] = [new MessageChannel(), new MessageChannel()]
  ports.push(frames.port1, calls.port1)
  const shares = new Map<string, StoredShare>()
  const asked: string[] = []
  let busy = 0
  const host: SignerHostCalls = {
    loadLink: () => undefined,
    saveLinks: async () => {},
    linksOfPair: () => [],
    recordStrike: unused,
    loadShare: (walletId) => {
      asked.push(hexOf(walletId))
      return shares.get(hexOf(walletId))
    },
    savePending: async () => {},
    dropPending: async () => {},
    setWalletState: unused,
    noteUse: async () => {},
    settleOutcome: unused,
    commitRefresh: unused,
    commitFork: unused,
    alert: () => {},
    wiped: () => {},
    lost: unused,
  }
  const frame = async (bytes: Uint8Array) => {
    if (typeOf(bytes) !== FRAME_TYPES.P1 || busy === 0) return two.s.answer(bytes)
    busy -= 1
    const { linkId, lEpoch, sid } = decodeFrame(bytes, ROLE_C)
    const body = encodeError({ code: 'busy' })
    return encodeFrame({ type: FRAME_TYPES.ERROR, role: ROLE_S, linkId, lEpoch, sid, body })
  }
  openPortEnd(frames.port2, { frame }, unused)
  openPortEnd(calls.port2, host, unused)
  const { idC, idS } = two.linkC.parties
  const data = { idC, idS, shards: [0], configured: 1, shareKey: new Uint8Array(randomBytes(32)), vaultId: new Uint8Array(16), frames: frames.port1 }
  const signer = await createSigner(data, openPortEnd<SignerHostCalls>(calls.port1, {}, unused), () => {})
  const keep = (active: SealedShare, linkId: Uint8Array): void => {
    const rest = { slot: 'current', state: 'ACTIVE', lastUsedEpoch: 0, pendingSid: undefined } as const
    shares.set(hexOf(active.walletId), { ...active, linkId, ...rest })
  }
  return { signer, asked, keep, refuse: (times: number) => (busy = times) }
}

describe('party C over the ports of its thread', () => {
  it('a session that is tried again still has all its slots, whatever buffer a wallet id came in', async () => {
    const { signer, asked, keep, refuse } = await hostedSigner()
    await signer.connect()
    const { sid, wallet } = await signer.generate({ keyType: 'secp256k1' })
    keep(wallet.active, wallet.linkId)
    await signer.acknowledge(sid)
    const id = wallet.walletId.slice()
    expect(id.buffer.byteLength).toBe(16)
    expect(await signer.presign({ shard: 0, walletIds: [id, id, id] })).toHaveLength(3)
    refuse(2)
    expect(await signer.presign({ shard: 0, walletIds: [id, id, id] })).toHaveLength(3)
    expect(new Set(asked)).toEqual(new Set([hexOf(wallet.walletId)]))
    expect(id).toEqual(wallet.walletId)
  })
})
