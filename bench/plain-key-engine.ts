/**
 * A plain key in the place of both parties, for the bench alone: what a hot key behind the same edge, permissions,
 * intent row and fsync costs. It signs in the main thread and verifies as party C does. Keys live in memory; the record
 * that the vault is given in their place holds nothing.
 */
import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import { privateKeyToAccount } from 'viem/accounts'
import { decompress, mulBase, recoverPoint } from '../src/engine/curve/secp256k1.ts'
import type { EcdsaSignature } from '../src/engine/dkls23/sign-messages.ts'
import type { ReadyPresignature } from '../src/party/initiator.ts'
import type { SignJob } from '../src/party/sign-initiator.ts'
import type { GeneratedWallet } from '../src/party/signer.ts'
import type { SigningEngine } from '../src/party/signing-engine.ts'
import type { EngineOptions } from '../src/party/two-party-engine.ts'
import { sealShare } from '../src/vault/sealed-record.ts'
import { savePendingShare } from '../src/vault/wallet-shares.ts'

export type PlainSigner = 'viem' | 'libsecp256k1'

/** Signs a 32-byte digest. */
type SignDigest = (digest: Uint8Array) => Promise<EcdsaSignature> | EcdsaSignature

type SigningBinding = {
  readonly ecdsaSign: (digest: Uint8Array, key: Uint8Array) => { signature: Uint8Array; recid: number }
}

const withLibrary = (key: Uint8Array): SignDigest => {
  const library = createRequire(import.meta.url)('secp256k1/bindings.js') as SigningBinding
  return (digest) => {
    const { signature, recid } = library.ecdsaSign(digest, key)
    return { r: signature.subarray(0, 32), s: signature.subarray(32), recid }
  }
}

const withViem = (key: Uint8Array): SignDigest => {
  const account = privateKeyToAccount(`0x${Buffer.from(key).toString('hex')}`)
  return async (digest) => {
    const hex = await account.sign({ hash: `0x${Buffer.from(digest).toString('hex')}` })
    const bytes = Buffer.from(hex.slice(2), 'hex')
    return { r: bytes.subarray(0, 32), s: bytes.subarray(32, 64), recid: (bytes[64] ?? 0) - 27 }
  }
}

const SIGNERS: { readonly [K in PlainSigner]: (key: Uint8Array) => SignDigest } = {
  viem: withViem,
  libsecp256k1: withLibrary,
}

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const HOUR_MS = 3_600_000
const LINK_ID = new Uint8Array(16)

type PlainKey = { readonly sign: SignDigest; readonly publicKey: Uint8Array }
/** What the bench asks of it; anything else is a mistake of the bench. */
type Played = Pick<
  SigningEngine,
  | 'available'
  | 'presignatureCount'
  | 'start'
  | 'stop'
  | 'generateWallet'
  | 'acknowledge'
  | 'takePresignature'
  | 'discardPresignature'
  | 'prepareSign'
  | 'sign'
  | 'estimateSignMs'
  | 'poolView'
  | 'pooledWallets'
  | 'anchor'
  | 'status'
> & { readonly owners: Pick<SigningEngine['owners'], 'claimForProject'> }

export const openPlainKeyEngine = (signer: PlainSigner, { vault, clock }: EngineOptions): SigningEngine => {
  const keys = new Map<string, PlainKey>()
  const played: Played = {
    available: true,
    presignatureCount: 0,
    start: async () => {},
    stop: async () => {},
    generateWallet: async () => {
      const key = randomBytes(32)
      // The engine's scalars are little-endian.
      const publicKey = mulBase(key.toReversed())
      const walletId = new Uint8Array(randomBytes(16))
      keys.set(hexOf(walletId), { sign: SIGNERS[signer](key), publicKey })
      const sid = new Uint8Array(randomBytes(32))
      const shareKey = vault.shareKey()
      const recordOf = (recordVersion: bigint) =>
        sealShare(
          shareKey,
          { vaultId: vault.vaultId, walletId, wEpoch: 0, recordVersion, header: new Uint8Array(8) },
          new Uint8Array(251),
        )
      const timeMs = Math.trunc(clock.nowMs())
      await vault.commit((tx) => savePendingShare(tx, { share: recordOf(1n), linkId: LINK_ID, sid, timeMs }))
      const wallet = {
        walletId,
        wEpoch: 0,
        publicKey,
        active: recordOf(2n),
        linkId: LINK_ID,
        shownPublicKey: decompress(publicKey),
      }
      return { sid, wallet: wallet as unknown as GeneratedWallet }
    },
    acknowledge: async () => {},
    owners: { claimForProject: async () => {} },
    takePresignature: async ({ walletId }): Promise<ReadyPresignature> => ({
      walletId,
      wEpoch: 0,
      presigId: new Uint8Array(randomBytes(16)),
      noncePoint: new Uint8Array(randomBytes(33)),
      expiresAtMs: clock.nowMs() + HOUR_MS,
    }),
    discardPresignature: () => {},
    prepareSign: () => {},
    sign: async ({ walletId, digest }: SignJob) => {
      const key = keys.get(hexOf(walletId))
      if (key === undefined) throw new Error('a wallet of this process')
      const signature = await key.sign(digest)
      const { r, s, recid } = signature
      const recovered = recoverPoint(r, s, recid, digest)
      if (recovered === undefined || Buffer.compare(recovered, key.publicKey) !== 0) throw new Error('does not verify')
      return signature
    },
    estimateSignMs: () => 0,
    poolView: () => undefined,
    pooledWallets: () => [],
    anchor: async () => {},
    status: async () => ({ available: true, why: '', cosignerId: '', cosigner: undefined, signer: undefined }),
  }
  return played as SigningEngine
}
