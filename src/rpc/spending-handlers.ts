/** Spending delegations, of countersign.v1.DelegationService: from the wire to a use case and back. */
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { ExternalWalletSchema, SpendSchema } from '../../gen/countersign/v1/delegation_pb.ts'
import { ExternalWalletState, ListSpendsRequestSchema, SpendState } from '../../gen/countersign/v1/delegation_pb.ts'
import type { ExternalWalletView, SpendingUseCases, SpendView } from './delegation-use-cases.ts'
import type { PageTokens } from './page-token.ts'
import { listPage } from './paging.ts'
import type { Handlers } from './pipeline.ts'
import { bothWays, orAbsent, toTimestamp } from './wire-words.ts'

const toWireExternalWallet = (wallet: ExternalWalletView): MessageInitShape<typeof ExternalWalletSchema> => {
  const { state, standing, createTimeMs, ...rest } = wallet
  return {
    ...rest,
    state: state === 'active' ? ExternalWalletState.ACTIVE : ExternalWalletState.REVOKED,
    ...(standing === undefined
      ? {}
      : { standing: { allowance: standing.allowance, balance: standing.balance, blockNumber: standing.block } }),
    createTime: toTimestamp(createTimeMs),
  }
}

const spendStates = bothWays<SpendView['state'], SpendState>({
  pending: SpendState.PENDING,
  settled: SpendState.SETTLED,
  failed: SpendState.FAILED,
})

const toWireSpend = (spend: SpendView): MessageInitShape<typeof SpendSchema> => {
  const { state, sendId, deliveredAmount = '', createTimeMs, updateTimeMs, ...rest } = spend
  return { ...rest, transactionId: sendId, state: spendStates.toWire(state), deliveredAmount, createTime: toTimestamp(createTimeMs), updateTime: toTimestamp(updateTimeMs) }
}

export const spendingHandlers = (spending: SpendingUseCases, tokens: PageTokens) =>
  ({
    getChainConfig: async ({ network, region }, call) => ({
      networks: (await spending.getChainConfig(call, { network, region })).map(({ tokens, ...one }) => ({
        ...one,
        tokens: tokens.map(({ currency, tokenAddress, decimals }) => ({ currency, address: tokenAddress, decimals })),
      })),
    }),
    issueDelegationToken: async ({ userId, network, address, region }, call) => {
      const { token, nonce, expireTimeMs } = await spending.issueDelegationToken(call, { userId, network, address, region })
      return { token, nonce, expireTime: toTimestamp(expireTimeMs) }
    },
    completeEvmDelegation: async (request, call) => {
      const { address, network, region, currency, amount, txHash, sigHash, sigMessage, token } = request
      const asked = { address, network, region, currency, amount, txHash, sigHash, sigMessage, token, replaces: orAbsent(request.replaces) }
      return { delegation: toWireExternalWallet(await spending.completeEvmDelegation(call, asked)) }
    },
    completeSolanaDelegation: async (request, call) => {
      const { address, network, currency, amount, txHash, sigHash, sigMessage, token } = request
      const asked = { address, network, currency, amount, txHash, sigHash, sigMessage, token, replaces: orAbsent(request.replaces) }
      return { delegation: toWireExternalWallet(await spending.completeSolanaDelegation(call, asked)) }
    },
    listExternalWallets: async ({ userId }, call) => ({
      externalWallets: (await spending.listExternalWallets(call, { userId })).map(toWireExternalWallet),
    }),
    updateExternalWalletPriorities: async ({ userId, priorities }, call) => ({
      externalWallets: (await spending.updateExternalWalletPriorities(call, { userId, priorities })).map(toWireExternalWallet),
    }),
    spendDelegation: async (request, call) => {
      const { userId, network, region, currency, amount, destination, createDestinationAccount: opensAccount } = request
      const asked = { userId, network, region, currency, amount, destination, opensAccount, externalWalletId: orAbsent(request.externalWalletId) }
      return { spend: toWireSpend(await spending.spendDelegation(call, asked)) }
    },
    getSpend: async ({ spendId }, call) => ({ spend: toWireSpend(await spending.getSpend(call, { spendId })) }),
    listSpends: async (request, call) => {
      const { items, nextPageToken } = await listPage(tokens, ListSpendsRequestSchema, request, call, (page) =>
        spending.listSpends(call, { ...page, userId: orAbsent(request.userId) }),
      )
      return { spends: items.map(toWireSpend), nextPageToken }
    },
  }) satisfies Partial<Handlers<'delegation'>>
