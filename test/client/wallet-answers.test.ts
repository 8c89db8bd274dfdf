/** What a lying daemon answers about a wallet, to a client that is about to put something on it, or gave it a key. */
import { create } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { beforeAll, describe, expect, it } from 'vitest'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import { type ImportPrivateKeyRequest, type Wallet, WalletSchema } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { importPrivateKey, type ImportOptions } from '../../src/client/import-private-key.ts'
import { OwnerMismatch, verifyWalletOwner } from '../../src/client/verify-wallet-owner.ts'
import { encodeBase58 } from '../../src/domain/base58.ts'
import { walletIdFromBytes } from '../../src/domain/ids.ts'
import { ed25519Ready } from '../../src/engine/curve/ed25519.ts'
import { groupOf } from '../../src/engine/curve/group.ts'
import { decompress } from '../../src/engine/curve/secp256k1.ts'
import { ALG_ED25519, ALG_SECP256K1 } from '../../src/engine/dkls23/suite.ts'
import { walletOwnerStatement } from '../../src/engine/sealing/owner-consent.ts'
import { evmAddressOfPublicKey, formatEvmAddress } from '../../src/payload/address.ts'
import { IDENTITIES, newDevice, ownedWallets, PARTY_S } from '../party/owned-wallets.ts'

const ENTRY = { cosignerId: Buffer.from(PARTY_S).toString('hex'), projectId: 'default', userId: 'anna' }
const WALLET_ID = new Uint8Array(16).fill(7)
beforeAll(() => ed25519Ready())

const scalar = (byte: number): Uint8Array => new Uint8Array(32).fill(byte, 0, 31)
const evmWallet = (byte = 1, shows: Partial<Pick<Wallet, 'address' | 'publicKey'>> = {}): Wallet => {
  const publicKey = decompress(groupOf(ALG_SECP256K1).mulBase(scalar(byte)))
  return create(WalletSchema, {
    walletId: walletIdFromBytes(WALLET_ID),
    keyType: KeyType.SECP256K1,
    publicKey: Buffer.from(publicKey).toString('hex'),
    address: formatEvmAddress(evmAddressOfPublicKey(publicKey)),
    ...shows,
  })
}
const solanaWallet = (byte = 1, shows: Partial<Pick<Wallet, 'address' | 'publicKey'>> = {}): Wallet => {
  const publicKey = groupOf(ALG_ED25519).mulBase(scalar(byte))
  return create(WalletSchema, {
    walletId: walletIdFromBytes(WALLET_ID),
    keyType: KeyType.ED25519,
    publicKey: Buffer.from(publicKey).toString('hex'),
    address: encodeBase58(publicKey),
    ...shows,
  })
}

const wordAbout = (publicKey: Uint8Array, secrets: readonly Uint8Array[], walletId = WALLET_ID) => {
  const said = walletOwnerStatement({
    partyId: PARTY_S, walletId, publicKey, project: 'default', userId: 'anna', secretIds: secrets,
  })
  return { partyId: PARTY_S, identityKey: IDENTITIES.s.publicKey, secretIds: [...secrets], signature: IDENTITIES.s.sign(said) }
}

describe('verifyWalletOwner', () => {
  const device = newDevice()
  const check = (wallet: Wallet, point: Uint8Array) => () =>
    verifyWalletOwner({ wallet, ownerStatement: wordAbout(point, [device.secretId]) } as never, ENTRY, [device.publicKey])

  it('takes the address only of the key that the cosigner spoke of', () => {
    const point = groupOf(ALG_SECP256K1).mulBase(scalar(1))
    check(evmWallet(), point)()
    expect(check(evmWallet(1, { address: evmWallet(2).address }), point)).toThrow(OwnerMismatch)
    expect(check(evmWallet(1, { address: '' }), point)).toThrow(OwnerMismatch)
    expect(check(evmWallet(2), point)).toThrow(OwnerMismatch)
  })

  it('and no public key that only looks like it once it is compressed', () => {
    const point = groupOf(ALG_SECP256K1).mulBase(scalar(1))
    const bent = Buffer.from(evmWallet().publicKey, 'hex')
    bent[40]! ^= 1
    const address = formatEvmAddress(evmAddressOfPublicKey(new Uint8Array(bent)))
    expect(check(evmWallet(1, { publicKey: bent.toString('hex'), address }), point)).toThrow(OwnerMismatch)
  })

  it('on Solana likewise', () => {
    const point = groupOf(ALG_ED25519).mulBase(scalar(1))
    check(solanaWallet(), point)()
    expect(check(solanaWallet(1, { address: solanaWallet(2).address }), point)).toThrow(OwnerMismatch)
    expect(check(solanaWallet(1, { address: `1${solanaWallet().address}` }), point)).toThrow(OwnerMismatch)
    expect(check(solanaWallet(1, { address: 'I' }), point)).toThrow(OwnerMismatch)
  })
})

describe('importPrivateKey', () => {
  const device = newDevice()
  const point = groupOf(ALG_SECP256K1).mulBase(scalar(1))

  const importing = async (wallet: Wallet, secrets: readonly Uint8Array[] | undefined, options: Partial<ImportOptions> = {}) => {
    const scene = await ownedWallets()
    // The clock of the scene is not the client's.
    const nowMs = Date.now()
    scene.clock.advance(nowMs - scene.clock.nowMs())
    const { daemon, cosigner } = scene.importKeys()
    const shown = ({ expireMs, ...key }: typeof daemon) => ({ ...key, expireTime: timestampFromMs(expireMs) })
    const wallets = {
      getImportKeys: async () => ({ daemon: shown(daemon), cosigner: shown(cosigner) }),
      importPrivateKey: async (_asked: ImportPrivateKeyRequest) => ({
        wallet,
        ownerStatement: secrets && wordAbout(point, secrets),
      }),
    }
    const client = { wallets } as unknown as CountersignClient
    const privateKey = { secp256k1: scalar(1).toReversed() }
    return importPrivateKey(client, { ...ENTRY, privateKey, walletSecret: device, ...options })
  }

  it('answers the wallet of the key that was given, with its owner as the pinned cosigner has it', async () => {
    expect(await importing(evmWallet(), [device.secretId])).toEqual(evmWallet())
    const phone = newDevice()
    const ownerSecrets = [device.publicKey, phone.publicKey]
    expect(await importing(evmWallet(), [device.secretId, phone.secretId], { ownerSecrets })).toEqual(evmWallet())
  })

  it('and no other: by its key, by its address, by who speaks for it', async () => {
    await expect(importing(evmWallet(2), [device.secretId])).rejects.toThrow('another key')
    await expect(importing(evmWallet(1, { address: evmWallet(2).address }), [device.secretId])).rejects.toThrow('another key')
    await expect(importing(evmWallet(), [newDevice().secretId])).rejects.toThrow(OwnerMismatch)
    await expect(importing(evmWallet(), [device.secretId, newDevice().secretId])).rejects.toThrow(OwnerMismatch)
    await expect(importing(evmWallet(), undefined)).rejects.toThrow(OwnerMismatch)
  })
})
