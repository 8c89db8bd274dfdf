/** Who is calling, where it is a delegate: what the wallet API key of its access says. */
import type { DelegateCaller } from '../domain/call.ts'
import { failure } from '../domain/failure.ts'

/** What is known of delegated access. Answers reflect every revocation that was acknowledged. */
export type DelegateDirectory = {
  /** Throws WALLET_API_KEY_INVALID, DELEGATED_ACCESS_REVOKED or DELEGATED_ACCESS_EXPIRED. */
  readonly findByKey: (presented: string, nowMs: number) => DelegateCaller
  /** Throws when nothing more may be released to the caller: their access has ended. */
  readonly assertStands: (caller: DelegateCaller, nowMs: number) => void
}

const refuse = (): never => {
  throw failure('WALLET_API_KEY_INVALID', {})
}

/** Where there is none. */
export const NO_DELEGATES: DelegateDirectory = { findByKey: refuse, assertStands: refuse }

const BEARER_WALLET_KEY = /^Bearer +(?<key>cdk_[A-Za-z0-9_-]{1,128})$/i

/** The wallet API key that a caller shows; undefined for everything else. */
export const bearerWalletKeyOf = (authorization: string | null): string | undefined =>
  authorization === null ? undefined : BEARER_WALLET_KEY.exec(authorization)?.groups?.['key']
