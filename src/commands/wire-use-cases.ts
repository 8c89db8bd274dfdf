/** The use cases as the edge calls them, over one vault and one pair of parties. */
import type { Chains } from '../chain/chains.ts'
import type { Currencies } from '../chain/currencies.ts'
import { completeEvm } from '../delegation/complete-evm.ts'
import { completeSolana } from '../delegation/complete-solana.ts'
import { getChainConfig, issueToken, listExternalWallets, updatePriorities } from '../delegation/external-wallets.ts'
import type { Call } from '../domain/call.ts'
import type { ProjectId } from '../domain/ids.ts'
import { archiveWallet } from '../wallet/archive-wallet.ts'
import { createWallet } from '../wallet/create-wallet.ts'
import { exportPrivateKey } from '../wallet/export-private-key.ts'
import { getImportKeys, importPrivateKey } from '../wallet/import-private-key.ts'
import { getWallet, listWallets } from '../wallet/read-wallets.ts'
import { refreshShares } from '../wallet/refresh-shares.ts'
import { warmPresignatures } from '../wallet/warm-presignatures.ts'
import { createApiKey, getApiKey, listApiKeys, revokeApiKey, rotateApiKey } from '../admin/api-keys.ts'
import { getCheckpoint, listEvents, verifyChain, watchEvents } from '../admin/audit.ts'
import { createBackup, type CustodyNeeds, rotateVaultKey } from '../admin/custody.ts'
import { freeze, unfreeze } from '../admin/freezes.ts'
import { openCosign } from '../delegation/cosign.ts'
import { delegateAccess } from '../delegation/delegate-access.ts'
import { listDelegates, registerDelegate, rotateDelegateKey } from '../delegation/delegates.ts'
import { createGrant, getGrant, type GrantNeeds, listGrants, revokeGrant } from '../delegation/grants.ts'
import { revokeDelegatedAccess } from '../delegation/revoke-access.ts'
import { listAccess } from '../delegation/list-access.ts'
import {
  createWebhook,
  deleteWebhook,
  listWebhookDeliveries,
  listWebhooks,
  redeliverWebhook,
  updateWebhook,
} from '../delegation/webhook-endpoints.ts'
import { createProject, getProject, listProjects, updateProject } from '../admin/projects.ts'
import { getStatus } from '../admin/status.ts'
import { chainStatuses } from './wire-chains.ts'
import type { AccessEnds } from '../delegation/end-access.ts'
import type { DelegateParties } from '../party/delegate-parties.ts'
import type { UseCases } from '../rpc/use-cases.ts'
import { type DelegateSide, wireDelegateUseCases } from './wire-delegate.ts'
import { type Sessions, wireSession } from './wire-session.ts'
import { Purses } from '../delegation/purse.ts'
import { getSpend, listSpends } from '../delegation/read-spends.ts'
import { spendDelegation } from '../delegation/spend.ts'
import { authorize } from '../signing/authorize.ts'
import { getTransaction, listTransactions } from '../sending/read-sent.ts'
import type { Sender } from '../sending/sender.ts'
import { sendTransaction } from '../sending/send-transaction.ts'
import type { RateLimiter } from '../signing/rate-limiter.ts'
import { signAuthorization, signDigest, signMessage, signTransaction, signTypedData } from '../signing/requests.ts'
import type { SignNeeds } from '../signing/sign.ts'
import type { Webhooks } from './wire-webhooks.ts'
import { verifySignature } from '../wallet/verify-signature.ts'
import { authenticateWithJwt } from '../user/authenticate-with-jwt.ts'
import { startEmailCode, verifyEmailCode } from '../user/email-codes.ts'
import { authenticateWithOidc, startOidc } from '../user/oidc.ts'
import { getEndUser, validateAccessToken } from '../user/read-end-users.ts'
import { refreshAccessToken, signOut } from '../user/refresh-access-token.ts'
import type { SignInNeeds } from '../user/sign-in-needs.ts'
import { listWalletSecrets, registerWalletSecret, revokeWalletSecret } from '../user/wallet-secrets.ts'

export type UseCaseNeeds = CustodyNeeds &
  Pick<GrantNeeds, 'maxGrantMs' | 'grantEnded' | 'grantErased'> &
  Pick<Webhooks, 'judgeUrl' | 'webhookCounts'> & {
  readonly rates: RateLimiter
  readonly delegates: DelegateParties
  readonly accessEnds: AccessEnds
  readonly delegate: DelegateSide['needs']
  readonly sessions: Sessions
  readonly chains: Chains
  readonly currencies: Currencies
  readonly confirmations: number
  readonly sender: Sender
  readonly onAlert: SignNeeds['onAlert']
  readonly signIn: SignInNeeds
  readonly allowExport: boolean
  readonly allowImport: boolean
  readonly started: { readonly version: string; readonly timeMs: number; readonly isRemote: boolean }
}

export const wireUseCases = (needs: UseCaseNeeds): UseCases => {
  const { signIn } = needs
  const creating = { ...needs, filling: new Set<string>() }
  const refreshing = { ...needs, refreshing: new Map<ProjectId, number>() }
  const signing = { ...needs, requireSessionFlow: needs.sessions.requireSessionFlow }
  const spending = { ...needs, send: needs.sender.send, purses: new Purses() }
  const readChains = chainStatuses(needs.vault, needs.chains, needs.currencies)
  const reading = (call: Call): UseCaseNeeds => {
    authorize(needs.vault.read, needs, call, 'audit:read')
    return needs
  }
  return {
    wallets: {
      createWallet: (call, args) => createWallet(creating, call, args),
      getWallet: async (call, args) => getWallet(needs, call, args),
      listWallets: async (call, args) => listWallets(needs, call, args),
      getImportKeys: (call) => getImportKeys(creating, call),
      importPrivateKey: (call, args) => importPrivateKey(creating, call, args),
      exportPrivateKey: (call, args) => exportPrivateKey(needs, call, args),
      archiveWallet: (call, args) => archiveWallet(needs, call, args),
      refreshShares: (call, args) => refreshShares(refreshing, call, args),
      warmPresignatures: (call, args) => warmPresignatures(needs, call, args),
    },
    signing: {
      signMessage: async (call, args) => signMessage(signing, call, args),
      signTypedData: async (call, args) => signTypedData(signing, call, args),
      signTransaction: (call, args) => signTransaction(signing, call, args),
      signAuthorization: (call, args) => signAuthorization(signing, call, args),
      signDigest: async (call, args) => signDigest(signing, call, args),
      verifySignature: (call, args) => verifySignature(needs, call, args),
    },
    sending: {
      sendTransaction: (call, args) => sendTransaction(needs, call, args),
      getTransaction: async (call, args) => getTransaction(needs, call, args),
      listTransactions: async (call, args) => listTransactions(needs, call, args),
    },
    delegation: {
      openCosign: (caller, peer) => openCosign(needs, caller, peer),
      createGrant: async (call, args) => createGrant(needs, call, args),
      getChainConfig: async (call, args) => getChainConfig(needs, call, args),
      issueDelegationToken: async (call, args) => issueToken(needs, call, args),
      completeEvmDelegation: (call, args) => completeEvm(needs, call, args),
      completeSolanaDelegation: (call, args) => completeSolana(needs, call, args),
      listExternalWallets: async (call, args) => listExternalWallets(needs, call, args),
      updateExternalWalletPriorities: (call, args) => updatePriorities(needs, call, args),
      spendDelegation: (call, args) => spendDelegation(spending, call, args),
      getSpend: async (call, args) => getSpend(needs, call, args),
      listSpends: async (call, args) => listSpends(needs, call, args),
      registerDelegate: (call, args) => registerDelegate(needs, call, args),
      rotateDelegateKey: (call, args) => rotateDelegateKey(needs, call, args),
      listDelegates: async (call, args) => listDelegates(needs, call, args),
      delegateAccess: (call, args) => delegateAccess(needs, call, args),
      revokeDelegatedAccess: (call, args) => revokeDelegatedAccess(needs, call, args),
      listDelegatedAccess: async (call, args) => listAccess(needs, call, args),
      getGrant: async (call, args) => getGrant(needs, call, args),
      listGrants: async (call, args) => listGrants(needs, call, args),
      revokeGrant: (call, args) => revokeGrant(needs, call, args),
    },
    session: wireSession({ ...needs, ...needs.sessions }),
    endUsers: {
      authenticateWithJwt: (visitor, args) => authenticateWithJwt(signIn, visitor, args),
      startEmailCode: (visitor, args) => startEmailCode(signIn, visitor, args),
      verifyEmailCode: (visitor, args) => verifyEmailCode(signIn, visitor, args),
      startOidc: (visitor, args) => startOidc(signIn, visitor, args),
      authenticateWithOidc: (visitor, args) => authenticateWithOidc(signIn, visitor, args),
      refreshAccessToken: (visitor, args) => refreshAccessToken(signIn, visitor, args),
      signOut: (visitor, args) => signOut(signIn, visitor, args),
      validateAccessToken: (call, args) => validateAccessToken({ ...needs, tokens: signIn.tokens }, call, args),
      getEndUser: async (call, args) => getEndUser({ ...needs, tokens: signIn.tokens }, call, args),
      registerWalletSecret: (call, args) => registerWalletSecret(needs, call, args),
      listWalletSecrets: async (call) => listWalletSecrets(needs, call),
      revokeWalletSecret: (call, args) => revokeWalletSecret(needs, call, args),
    },
    audit: {
      listEvents: async (call, args) => listEvents(reading(call), call, args),
      watchEvents: (call, args) => watchEvents(reading(call), call, args),
      verifyChain: async (call, args) => verifyChain(reading(call), call, args),
      getCheckpoint: async (call) => getCheckpoint(reading(call)),
    },
    admin: {
      createProject: async (call, args) => createProject(needs, call, args),
      getProject: async (_call, args) => getProject(needs, args),
      listProjects: async (_call, args) => listProjects(needs, args),
      updateProject: async (call, args) => updateProject(needs, call, args),
      createApiKey: async (call, args) => createApiKey(needs, call, args),
      getApiKey: async (_call, args) => getApiKey(needs, args),
      listApiKeys: async (call, args) => listApiKeys(needs, call, args),
      rotateApiKey: async (call, args) => rotateApiKey(needs, call, args),
      revokeApiKey: (call, args) => revokeApiKey(needs, call, args),
      freeze: (call, args) => freeze(needs, call, args),
      unfreeze: (call, args) => unfreeze(needs, call, args),
      createBackup: async (call) => createBackup(needs, call),
      rotateVaultKey: async (call, args) => rotateVaultKey(needs, call, args),
      getStatus: () => getStatus({ ...needs, chainStatuses: readChains }, needs.started),
    },
    delegate: wireDelegateUseCases(needs),
    webhooks: {
      createWebhook: async (call, args) => createWebhook(needs, call, args),
      listWebhooks: async (call, args) => listWebhooks(needs, call, args),
      updateWebhook: async (call, args) => updateWebhook(needs, call, args),
      deleteWebhook: (call, args) => deleteWebhook(needs, call, args),
      listWebhookDeliveries: async (call, args) => listWebhookDeliveries(needs, call, args),
      redeliverWebhook: (call, args) => redeliverWebhook(needs, call, args),
    },
  }
}
