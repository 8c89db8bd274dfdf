/** What sends transactions, over the chains of the configuration. */
import type { Chains } from '../chain/chains.ts'
import { EvmFamily } from '../sending/evm-family.ts'
import type { SendingNeeds } from '../sending/sending-needs.ts'
import { Sender } from '../sending/sender.ts'
import { SolanaFamily } from '../sending/solana-family.ts'
import type { SignNeeds } from '../signing/sign.ts'
import { findSeal } from '../vault/restore-state.ts'

export type WiredSender = {
  readonly sender: Sender
  /** Goes on with what was under way, unless the vault is sealed. */
  readonly start: () => void
  readonly stop: () => Promise<void>
}

export const wireSending = (
  needs: SignNeeds & Pick<SendingNeeds, 'confirmations' | 'onStuck'> & { readonly chains: Chains },
  settled: SendingNeeds['settled'] = {},
): WiredSender => {
  const sender = new Sender({ ...needs, families: [new EvmFamily(needs.chains), new SolanaFamily(needs.chains)], settled })
  const start = (): void => {
    if (findSeal(needs.vault.read) === undefined) sender.start()
  }
  return { sender, start, stop: () => sender.stop() }
}
