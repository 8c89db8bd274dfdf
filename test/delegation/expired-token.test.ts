/** A delegation token over the API, at the moment it ends: the one refusal that takes ten minutes to meet. */
import { expect, it } from 'vitest'
import { createChains } from '../../src/chain/chains.ts'
import { Currencies } from '../../src/chain/currencies.ts'
import { completeEvm } from '../../src/delegation/complete-evm.ts'
import { issueToken, type SpendingNeeds } from '../../src/delegation/external-wallets.ts'
import { Secret } from '../../src/domain/secret.ts'
import { createHttpEgress } from '../../src/egress/http.ts'
import { DelegationService } from '../../gen/countersign/v1/delegation_pb.ts'
import { GrantCache } from '../../src/signing/grant-cache.ts'
import { RateLimiter } from '../../src/signing/rate-limiter.ts'
import { DEFAULT_PROJECT, updateProject } from '../../src/vault/projects.ts'
import { insertWallet } from '../../src/vault/wallets.ts'
import { reasonOf } from '../rpc/support/refusal.ts'
import { openTestEdge, testUser } from '../rpc/support/test-edge.ts'
import { makeVault, newWallet, NOW } from '../vault/fixture.ts'

const LIFE_MS = 600_000

it('is TOKEN_EXPIRED from its end on, and nothing is asked of a chain', async () => {
  const vault = await makeVault()
  const clock = { nowMs: () => nowMs, monotonicNs: () => 0n }
  let nowMs = NOW
  const spender = newWallet()
  await vault.commit((tx) => {
    insertWallet(tx, spender)
    updateProject(tx, DEFAULT_PROJECT, { settings: { spenders: [{ network: 'linea', walletId: spender.walletId }] } }, { nowMs: NOW })
  })
  const chains = createChains([{ network: 'linea', chainId: 59_144n, rpcUrls: [new Secret('http://127.0.0.1:9')] }], createHttpEgress({ allow: ['127.0.0.1'] }), clock)
  const needs: SpendingNeeds = { vault, clock, chains, currencies: new Currencies([]), confirmations: 3, grants: new GrantCache(), rates: new RateLimiter(() => 0) }
  const alice = testUser('alice')
  await using edge = await openTestEdge({
    keys: [],
    users: [alice],
    delegation: {
      issueDelegationToken: (call, args) => issueToken(needs, call, args),
      completeEvmDelegation: (call, args) => completeEvm(needs, call, args),
    },
  })
  const client = edge.client(DelegationService, alice.token)
  const address = `0x${'ab'.repeat(20)}`
  const { token, expireTime } = await client.issueDelegationToken({ network: 'linea', address })
  expect(Number(expireTime?.seconds) * 1_000).toBe(Math.floor((NOW + LIFE_MS) / 1_000) * 1_000)
  const complete = async () => {
    const request = { address, network: 'linea', currency: 'usdc', amount: '5', txHash: `0x${'ab'.repeat(32)}`, sigHash: `0x${'ab'.repeat(65)}`, sigMessage: 'x'.repeat(20), token }
    return reasonOf(client.completeEvmDelegation(request))
  }
  nowMs = NOW + LIFE_MS - 1
  expect(await complete()).toBe('SIWE_INVALID')
  nowMs = NOW + LIFE_MS
  expect(await complete()).toBe('TOKEN_EXPIRED')
  await vault.close()
})
