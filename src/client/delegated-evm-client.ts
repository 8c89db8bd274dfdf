/**
 * Signing with access that a Countersign daemon delegated, without a daemon of one's own: the two-party protocol is run
 * here, with that daemon. The share in the delivery is replaced by another one as soon as it is first used.
 */
import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto'
import { closeSync, constants, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { create } from '@bufbuild/protobuf'
import { bytesToHex, type Hex } from 'viem'
import { publicKeyToAddress } from 'viem/accounts'
import { KeyType, SignatureSchema } from '../../gen/countersign/v1/common_pb.ts'
import {
  EvmSignedAuthorizationSchema,
  SignAuthorizationResponseSchema,
  SignDigestResponseSchema,
  SignMessageResponseSchema,
  SignTransactionResponseSchema,
  SignTypedDataResponseSchema,
} from '../../gen/countersign/v1/wallet_pb.ts'
import type { SealedEnvelope } from '../domain/sealed-envelope.ts'
import { decompress } from '../engine/curve/secp256k1.ts'
import { openDynamicEnvelope } from '../engine/sealing/dynamic-envelope.ts'
import { DelegateParty, DelegationRefused } from '../party/delegate/delegate-party.ts'
import type { DelegateStateStore } from '../party/delegate/delegate-state.ts'
import { parseEvmAddress } from '../payload/address.ts'
import { decodeUnsignedTransaction } from '../payload/decode-transaction.ts'
import type { SigningContent, SigningMethod } from '../payload/signing-payload.ts'
import { attachSignature } from '../payload/transaction.ts'
import { type CountersignAccount, toCountersignAccount } from './countersign-account.ts'
import { isLoopback } from './grpc-endpoint.ts'

export { DelegationRefused, type DelegateStateStore }

export type DelegatedCredentials = {
  /** What `openDelegatedDelivery` made of the envelopes. */
  readonly keyShare: string
  readonly walletApiKey: string
}

export type DelegatedEvmClientOptions = DelegatedCredentials & {
  readonly grantingDaemon: {
    /** Its gRPC listener: `https://host:port`; `http://` on this machine only. */
    readonly url: string
    /** 64 hexadecimal digits, known from elsewhere than the delivery. */
    readonly partyId: string
    /** PEM; trusted in the place of the well-known authorities. */
    readonly authorities?: Uint8Array
  }
  /** The delegate's identity, which it was registered with: an Ed25519 private key, PKCS #8 in PEM. */
  readonly identityKeyPem: string
  /** Where the share is kept from its first use on: `fileState`, or one of your own. */
  readonly state: DelegateStateStore
  /**
   * After a failed cheating check burned the link, and once you know why: that it may be set up anew. It is, when the operator
   * of the daemon has said so too (`countersign delegate-link relink`). Leave it away otherwise.
   */
  readonly relink?: boolean
}

export type DelegatedEvmClient = CountersignAccount & {
  /** Ends the connection and overwrites what is in memory. The state stays. */
  readonly close: () => Promise<void>
}

/**
 * Opens both envelopes of a delivery with the RSA private key that they are sealed to (PEM). Throws where they do not open;
 * it does not say why.
 */
export const openDelegatedDelivery = (delivery: {
  readonly privateKeyPem: string
  readonly encryptedDelegatedShare: SealedEnvelope
  readonly encryptedWalletApiKey: SealedEnvelope
}): DelegatedCredentials => {
  const key = createPrivateKey(delivery.privateKeyPem)
  const open = (envelope: SealedEnvelope): string => {
    const opened = openDynamicEnvelope(key, envelope)
    if (opened === undefined) throw new Error('the envelope does not open with this key')
    const text = Buffer.from(opened).toString('utf8')
    opened.fill(0)
    return text
  }
  return { keyShare: open(delivery.encryptedDelegatedShare), walletApiKey: open(delivery.encryptedWalletApiKey) }
}

/** A file, mode 0600, that is replaced whole. It holds the share in clear: put it where you would put a private key. */
export const fileState = (path: string): DelegateStateStore => ({
  load: async () => {
    try {
      return new Uint8Array(readFileSync(path))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  },
  save: async (state) => {
    const fresh = `${path}.new`
    // What a save that was cut off left there is not written into: whose it is, and who may read it, is not known.
    rmSync(fresh, { force: true })
    const file = openSync(fresh, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
    try {
      writeFileSync(file, state)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(fresh, path)
    const directory = openSync(dirname(path), 'r')
    try {
      fsyncSync(directory)
    } finally {
      closeSync(directory)
    }
  },
})

/** The wallet API key goes over it. */
const requirePrivateWay = (url: string): void => {
  const { protocol, hostname } = new URL(url)
  if (protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname.replace(/^\[|\]$/g, '')))) return
  throw new TypeError('the daemon is reached over https://, or over http:// on this machine')
}

const identityOf = (pem: string) => {
  const key: KeyObject = createPrivateKey(pem)
  if (key.asymmetricKeyType !== 'ed25519') throw new TypeError('the identity key is an Ed25519 key')
  const publicKey = new Uint8Array(createPublicKey(key).export({ type: 'spki', format: 'der' }).subarray(-32))
  return { publicKey, sign: (statement: Uint8Array) => new Uint8Array(sign(null, statement, key)) }
}

/**
 * A viem account that signs by delegated access, fully authenticated: there is no second call. The first signature joins the
 * daemon and replaces the share (a fifth of a second); later ones take one round trip. Refusals of the daemon are
 * DelegationRefused with its `reason`; DELEGATED_ACCESS_REVOKED is final. Throws RangeError for a share that another system
 * made (`FOREIGN_SHARE`), or that is another delegate's or daemon's.
 */
export const createDelegatedEvmClient = async (options: DelegatedEvmClientOptions): Promise<DelegatedEvmClient> => {
  const { grantingDaemon, keyShare, walletApiKey, state } = options
  requirePrivateWay(grantingDaemon.url)
  if (!/^[0-9a-f]{64}$/.test(grantingDaemon.partyId)) throw new TypeError('a party id has 64 hexadecimal digits')
  const party = await DelegateParty.open({
    keyShare,
    walletApiKey,
    state,
    relink: options.relink,
    identity: identityOf(options.identityKeyPem),
    granting: {
      url: grantingDaemon.url,
      authorities: grantingDaemon.authorities,
      partyId: Uint8Array.from(Buffer.from(grantingDaemon.partyId, 'hex')),
    },
  })
  const publicKey = Buffer.from(decompress(party.publicKey)).toString('hex')
  const wallet = { walletId: '', address: publicKeyToAddress(`0x${publicKey}`), publicKey, keyType: KeyType.SECP256K1 }
  const account = toCountersignAccount({ wallets: walletsOver(party) as never }, wallet)
  return { ...account, close: () => party.close() }
}

type Made = Awaited<ReturnType<DelegateParty['sign']>>

const toWireSignature = ({ r, s, recid }: Made) => {
  const v = 27 + recid
  const hex: Hex = `${bytesToHex(r)}${bytesToHex(s).slice(2)}${v.toString(16)}`
  return create(SignatureSchema, { r, s, v, yParity: recid, raw: Uint8Array.from([...r, ...s, v]), hex })
}

/** What the account asks a daemon for, answered by the protocol. */
const walletsOver = (party: DelegateParty) => {
  const signed = async (method: SigningMethod, content: SigningContent) => {
    const made = await party.sign(method, content)
    return { signature: toWireSignature(made), digest: made.digest, made }
  }
  return {
    signMessage: async ({ content }: { content: { case: 'text'; value: string } | { case: 'data'; value: Uint8Array } }) => {
      const message = content.case === 'text' ? new Uint8Array(Buffer.from(content.value, 'utf8')) : content.value
      return create(SignMessageResponseSchema, await signed('SignMessage', { kind: 'message', message }))
    },
    signTypedData: async ({ typedDataJson }: { typedDataJson: string }) =>
      create(
        SignTypedDataResponseSchema,
        await signed('SignTypedData', { kind: 'typed-data', json: new Uint8Array(Buffer.from(typedDataJson, 'utf8')) }),
      ),
    signDigest: async ({ digest }: { digest: Uint8Array }) =>
      create(SignDigestResponseSchema, await signed('SignDigest', { kind: 'digest', digest })),
    signTransaction: async ({ transaction }: { transaction: { value: Uint8Array } }) => {
      const unsigned = transaction.value
      const { signature, made } = await signed('SignTransaction', { kind: 'transaction', unsigned })
      const whole = attachSignature(decodeUnsignedTransaction(unsigned), { r: made.r, s: made.s, yParity: made.recid === 1 ? 1 : 0 })
      return create(SignTransactionResponseSchema, { signature, signedTransaction: whole.signed, transactionHash: bytesToHex(whole.hash) })
    },
    signAuthorization: async ({ chainId, address, nonce }: { chainId: bigint; address: string; nonce: bigint }) => {
      const target = parseEvmAddress(address)
      if (target === undefined) throw new TypeError('the address is malformed')
      const { signature } = await signed('SignAuthorization', { kind: 'authorization', chainId, address: target, nonce })
      const authorization = create(EvmSignedAuthorizationSchema, { chainId, address, nonce })
      return create(SignAuthorizationResponseSchema, { signature, authorization })
    },
  }
}
