/** What the client makes of an answer: the key of the wallet that was asked for, or nothing. */
import { create } from '@bufbuild/protobuf'
import { beforeEach, describe, expect, it } from 'vitest'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import {
  type ExportPrivateKeyRequest,
  type ExportPrivateKeyResponse,
  ExportPrivateKeyResponseSchema,
  WalletSchema,
} from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { ExportMismatch, exportPrivateKey } from '../../src/client/export-private-key.ts'
import { walletIdFromBytes } from '../../src/domain/ids.ts'
import { decompress } from '../../src/engine/curve/secp256k1.ts'
import { groupOf } from '../../src/engine/curve/group.ts'
import { ALG_SECP256K1 } from '../../src/engine/dkls23/suite.ts'
import { KIND_X25519 } from '../../src/engine/sealing/share-envelope.ts'
import { evmAddressOfPublicKey, formatEvmAddress } from '../../src/payload/address.ts'
import { DAY_MS, type Device, newDevice, ownedWallets, PARTY_C, PARTY_S } from '../party/owned-wallets.ts'

type Answer = { -readonly [K in keyof ExportPrivateKeyResponse]: ExportPrivateKeyResponse[K] }

const PIN = Buffer.from(PARTY_S).toString('hex')
let scene: Awaited<ReturnType<typeof ownedWallets>>
let device: Device
beforeEach(async () => {
  scene = await ownedWallets()
  device = newDevice()
})

const addressOf = (publicKey: Uint8Array): string => formatEvmAddress(evmAddressOfPublicKey(decompress(publicKey)))

/** A daemon over the scene's parties that bends what it answers. */
const daemonOf = async (bend: (answer: Answer, asked: ExportPrivateKeyRequest) => void = () => {}, shows?: Partial<{ publicKey: string }>) => {
  const wallet = await scene.create('anna', device)
  scene.clock.advance(DAY_MS)
  const { walletId, publicKey, alg } = wallet
  const shown = create(WalletSchema, {
    walletId: walletIdFromBytes(walletId),
    keyType: KeyType.SECP256K1,
    publicKey: Buffer.from(decompress(publicKey)).toString('hex'),
    address: addressOf(publicKey),
    ...shows,
  })
  const wallets = {
    getWallet: async () => ({ wallet: shown }),
    exportPrivateKey: async (asked: ExportPrivateKeyRequest) => {
      if (asked.consent.case !== 'walletSecret' || asked.exportKey.case !== 'x25519') throw new Error('not asked as expected')
      // The clock of the scene is a day ahead of the client's: the daemon asks with a consent of its own time.
      const request = scene.request(wallet, device, { kind: KIND_X25519, key: asked.exportKey.value })
      const parts = await scene.c.export({ ...request, alg })
      const answer: Answer = create(ExportPrivateKeyResponseSchema, {
        wallet: shown,
        daemonShare: { partyId: PARTY_C, publicShare: parts.daemon.point, envelope: parts.daemon.envelope },
        cosignerShare: { partyId: PARTY_S, publicShare: parts.cosigner.point, envelope: parts.cosigner.envelope },
      })
      bend(answer, asked)
      return answer
    },
  }
  const client = { wallets } as unknown as CountersignClient
  const take = (cosignerId = PIN, address = addressOf(publicKey)) =>
    exportPrivateKey(client, { wallet: 'anna', cosignerId, address, consent: { walletSecret: device } })
  return { take, publicKey }
}

describe('exportPrivateKey', () => {
  it("is the wallet's key, big-endian", async () => {
    const { take, publicKey } = await daemonOf()
    const { privateKey } = await take()
    expect(groupOf(ALG_SECP256K1).mulBase(privateKey.toReversed())).toEqual(publicKey)
  })

  const lies: readonly [string, (answer: Answer) => void][] = [
    ['the shares changed over', (a) => ([a.daemonShare, a.cosignerShare] = [a.cosignerShare, a.daemonShare])],
    ['one share twice', (a) => (a.cosignerShare = { ...a.daemonShare!, partyId: a.cosignerShare!.partyId })],
    ['no share', (a) => (a.daemonShare = undefined)],
    ['another point beside a share', (a) => (a.daemonShare = { ...a.daemonShare!, publicShare: a.cosignerShare!.publicShare })],
    ['a share that does not open', (a) => (a.daemonShare = { ...a.daemonShare!, envelope: a.daemonShare!.envelope.with(40, 1) })],
    ['another party than is pinned', (a) => (a.cosignerShare = { ...a.cosignerShare!, partyId: PARTY_C })],
  ]
  it.each(lies)('%s: nothing is answered', async (_what, bend) => {
    const { take } = await daemonOf(bend)
    await expect(take()).rejects.toThrow(ExportMismatch)
  })

  it('another wallet than was meant: by its key, by its address, by a key that is none', async () => {
    const other = Buffer.from(decompress(groupOf(ALG_SECP256K1).mulBase(new Uint8Array(32).fill(1)))).toString('hex')
    await expect((await daemonOf(undefined, { publicKey: other })).take()).rejects.toThrow(ExportMismatch)
    await expect((await daemonOf(undefined, { publicKey: `04${'11'.repeat(64)}` })).take()).rejects.toThrow(ExportMismatch)
    await expect((await daemonOf()).take(PIN, '0x2')).rejects.toThrow('another address')
  })

  it('asks for nothing without a pinned cosigner', async () => {
    const { take } = await daemonOf()
    for (const pin of ['', 'ab', PIN.toUpperCase(), `0x${PIN}`]) await expect(take(pin)).rejects.toThrow(TypeError)
  })
})
