import { Option, type Command } from 'commander'
import { flagsOf, limitOption, requestIdOption, withClientOptions } from './shared-options.ts'
import { type Terminal, UsageRefusal } from './terminal.ts'

const keyTypeOption = (): Option =>
  new Option('--key-type <type>', 'kind of key').choices(['secp256k1', 'ed25519'])

const declareSend = (wallet: Command, terminal: Terminal): void => {
  withClientOptions(wallet.command('send'))
    .description('Sends a transaction on an EVM chain and tells how it goes on until it is final. Amounts in wei.')
    .argument('<wallet>', 'wallet id, address or user id')
    .argument('<network>', 'a [[chain]] of the daemon')
    .option('--to <address>', 'the receiver or contract; without it --data-hex is the code of a new contract')
    .option('--value <wei>', 'what to transfer')
    .option('--data-hex <hex>', 'call data, or contract code')
    .option('--gas-limit <gas>', 'gas it may use; estimated without it')
    .option('--max-fee-per-gas <wei>', 'most to pay for one gas in all')
    .option('--max-priority-fee-per-gas <wei>', 'what to pay the block builder for one gas')
    .option('--speed-up <transaction-id>', 'replace one that is in no block by the same, paying more')
    .option('--cancel <transaction-id>', 'replace one that is in no block by nothing, paying more')
    .option('--confirmations <blocks>', 'how deep it must be to be final')
    .addOption(requestIdOption())
    .action(async (reference: string, network: string, _options: unknown, command: Command) => {
      const { sendTransaction } = await import('./send.ts')
      await sendTransaction(reference, network, flagsOf(command), terminal)
    })
}

export const declareWalletCommands = (program: Command, terminal: Terminal): void => {
  const wallet = program.command('wallet').summary('create, find and use wallets')
  withClientOptions(wallet.command('create'))
    .description('Creates a wallet: two parties generate its key together, no party ever holds the whole.')
    .argument('<user-id>', 'whose wallet it is, in your own words')
    .addOption(keyTypeOption().default('secp256k1'))
    .addOption(
      new Option('--owner-type <type>', 'who may sign').choices(['project', 'end_user']).default('project'),
    )
    .option('--label <text>', 'tells several wallets of one user apart')
    .addOption(requestIdOption())
    .action(async (userId: string, _options: unknown, command: Command) => {
      const { createWallet } = await import('./wallet.ts')
      await createWallet(userId, flagsOf(command), terminal)
    })
  withClientOptions(wallet.command('get'))
    .description('Finds one wallet by its id, its address or its user id.')
    .argument('<wallet>', 'wallet id, address or user id')
    .addOption(keyTypeOption())
    .action(async (reference: string, _options: unknown, command: Command) => {
      const { getWallet } = await import('./wallet.ts')
      await getWallet(reference, flagsOf(command), terminal)
    })
  withClientOptions(wallet.command('list'))
    .description('Lists wallets, oldest first.')
    .option('--user-id <user-id>', 'only those of this user')
    .addOption(limitOption())
    .action(async (options: { limit: number }, command: Command) => {
      const { listWallets } = await import('./wallet.ts')
      await listWallets(options.limit, flagsOf(command), terminal)
    })
  withClientOptions(wallet.command('refresh'))
    .description('Changes both parties\' shares of a wallet; its key and address stay, older copies of a share are useless.')
    .argument('[wallet]', 'wallet id, address or user id')
    .option('--all', 'every wallet of the project, one after the other')
    .addOption(requestIdOption())
    .action(async (reference: string | undefined, { all }: { all?: boolean }, command: Command) => {
      if ((reference === undefined) === (all !== true)) throw new UsageRefusal('name a wallet, or --all')
      const { refreshShares } = await import('./wallet.ts')
      const { refreshAll } = await import('./refresh-all.ts')
      if (reference === undefined) await refreshAll(flagsOf(command), terminal)
      else await refreshShares(reference, flagsOf(command), terminal)
    })
  declareSend(wallet, terminal)
  withClientOptions(wallet.command('sign-message'))
    .description('Signs a message: EIP-191, or for Ed25519 wallets the bytes as they are.')
    .argument('<wallet>', 'wallet id, address or user id')
    .argument('[text]', 'the message')
    .option('--data-hex <hex>', 'the message as bytes')
    .option('--file <path>', 'the message as a file, - for standard input')
    .option('--digest-hex <hex>', 'a 32-byte digest, signed as it is; needs the permission sign:digest')
    .addOption(requestIdOption())
    .action(async (reference: string, text: string | undefined, _options: unknown, command: Command) => {
      const { signMessage } = await import('./wallet.ts')
      await signMessage(reference, text, flagsOf(command), terminal)
    })
}
