/**
 * Letting a delegate sign with a wallet. What is signed here names the delegate by its keys, as the owner knows them, and
 * the cosigner by its pinned id: a daemon that puts keys of its own in their place is refused by the cosigner.
 */
import { createPublicKey } from 'node:crypto'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { equalBytes, plainBytes } from '../engine/hash/encoding.ts'
import { partyIdOf } from '../engine/sealing/import-key.ts'
import { delegateStatement, secretIdOf } from '../engine/sealing/owner-consent.ts'
import type {
  Delegate,
  DelegateAccessRequestSchema,
  DelegateAccessResponse,
  DelegatedPermission,
  DelegatedLimitsSchema,
} from '../../gen/countersign/v1/delegated_access_pb.ts'
import type { Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from './countersign-client.ts'
import { isOneKey, publicKeyOf, walletIdOf } from './wallet-key.ts'
import { newConsent, parsePin, type WalletSecret } from './wallet-secret.ts'

/** A delegate as whoever runs it says that it is: not as the daemon does. */
export type PinnedDelegate = {
  /** Ed25519, 32 bytes. */
  readonly identityPublicKey: Uint8Array
  /** The RSA key that shares are sealed to, SubjectPublicKeyInfo in PEM. */
  readonly publicKeyPem: string
}

export type DelegateAccessOptions = {
  /** A wallet id, an address or a user id. */
  readonly wallet: string
  /** What the owner knows the wallet by; anything else is not the owner's wallet. */
  readonly address?: string
  /** The cosigner's id as its operator gave it, 64 hex digits. */
  readonly cosignerId: string
  readonly delegateId: string
  readonly delegate: PinnedDelegate
  readonly consent: { readonly walletSecret: WalletSecret } | { readonly approvalId: Uint8Array }
  readonly expireTime: Date
  /** Messages, typed data and transactions where none are listed. */
  readonly permissions?: readonly DelegatedPermission[]
  readonly limits?: MessageInitShape<typeof DelegatedLimitsSchema>
  /** The envelopes come with the answer too. */
  readonly includeEnvelopes?: boolean
  readonly requestId?: string
}

/** The daemon, or whoever stands in its place, shows another wallet or delegate than the one that is meant. */
export class DelegationMismatch extends Error {
  override readonly name = 'DelegationMismatch'
}

/**
 * Gives the delegate access to the wallet, on a consent that is signed here.
 * @throws CountersignError as DelegateAccess is refused; DelegationMismatch; TypeError without a pinned cosigner.
 */
export const delegateAccess = async (
  client: CountersignClient,
  options: DelegateAccessOptions,
): Promise<DelegateAccessResponse> => {
  const partyId = parsePin(options.cosignerId)
  const { wallet } = await client.wallets.getWallet({ wallet: options.wallet })
  if (wallet === undefined || !isOneKey(wallet)) throw new DelegationMismatch('no wallet of one key in the answer')
  if (options.address !== undefined && wallet.address !== options.address) throw new DelegationMismatch('another address')
  const rsaKey = derOf(options.delegate)
  const once = newConsent()
  const consent =
    'approvalId' in options.consent
      ? ({ case: 'approvalId', value: options.consent.approvalId } as const)
      : await signed(options.consent.walletSecret, {
          ...once,
          partyId,
          ...namesOf(wallet),
          rsaKey,
          idG: partyIdOf(options.delegate.identityPublicKey),
          linkId: await linkOf(client, options),
        })
  return client.delegation.delegateAccess(requestOf(options, wallet, once, consent))
}

type Consent = Exclude<MessageInitShape<typeof DelegateAccessRequestSchema>['consent'], undefined>

const requestOf = (
  options: DelegateAccessOptions,
  { walletId, walletEpoch }: Wallet,
  { expireMs, nonce }: ReturnType<typeof newConsent>,
  consent: Consent,
): MessageInitShape<typeof DelegateAccessRequestSchema> => ({
  wallet: walletId,
  walletEpoch,
  delegateId: options.delegateId,
  permissions: [...(options.permissions ?? [])],
  ...(options.limits === undefined ? {} : { limits: options.limits }),
  expireTime: timestampOf(options.expireTime.getTime()),
  consentExpireTime: timestampOf(expireMs),
  nonce,
  consent,
  includeEnvelopes: options.includeEnvelopes ?? false,
  requestId: options.requestId ?? '',
})

const timestampOf = (ms: number) => ({ seconds: BigInt(Math.floor(ms / 1_000)), nanos: (ms % 1_000) * 1_000_000 })

const derOf = ({ publicKeyPem }: PinnedDelegate): Uint8Array =>
  plainBytes(createPublicKey(publicKeyPem).export({ format: 'der', type: 'spki' })).slice()

const namesOf = (wallet: Wallet) => ({
  walletId: walletIdOf(wallet),
  wEpoch: wallet.walletEpoch,
  publicKey: publicKeyOf(wallet),
})

const signed = async (
  { publicKey, sign }: WalletSecret,
  asked: Parameters<typeof delegateStatement>[0],
): Promise<Consent> => ({
  case: 'walletSecret',
  value: { secretId: secretIdOf(publicKey), signature: await sign(delegateStatement(asked)) },
})

/** The delegate's link with the daemon. A wrong one is the cosigner's to refuse: it knows which daemon it serves. */
const linkOf = async (client: CountersignClient, { delegateId, delegate }: DelegateAccessOptions): Promise<Uint8Array> => {
  const found = await findDelegate(client, delegateId)
  const isIt = found !== undefined && equalBytes(plainBytes(found.identityPublicKey), delegate.identityPublicKey)
  if (!isIt) throw new DelegationMismatch('the delegate that is registered has another identity')
  return plainBytes(found.linkId)
}

const findDelegate = async (client: CountersignClient, delegateId: string): Promise<Delegate | undefined> => {
  for (let pageToken = ''; ; ) {
    const { delegates, nextPageToken } = await client.delegation.listDelegates({ pageSize: 500, pageToken })
    const found = delegates.find((one) => one.delegateId === delegateId)
    if (found !== undefined || nextPageToken === '') return found
    pageToken = nextPageToken
  }
}
