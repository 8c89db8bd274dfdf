import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import {
  OwnerTypeSchema,
  RefreshSharesResponseSchema,
  SignMessageResponseSchema,
  WalletSchema,
  WalletStateSchema,
  type Wallet,
} from '../../gen/countersign/v1/wallet_pb.ts'
import { KeyTypeSchema } from '../../gen/countersign/v1/common_pb.ts'
import type { Flags } from '../config/load-config.ts'
import { withDaemon } from './daemon-client.ts'
import { listPages } from './list-pages.ts'
import { enumText, hexText, jsonArray, jsonText, parseEnumText, timeText } from './message-text.ts'
import { formatFacts, formatTable } from './print-table.ts'
import { UsageRefusal, type Terminal } from './terminal.ts'

const MAX_MESSAGE_BYTES = 262_144

const textFlag = (flags: Flags, name: string): string => {
  const value = flags[name]
  return typeof value === 'string' ? value : ''
}

const describeWallet = (wallet: Wallet): string =>
  formatFacts([
    ['wallet_id', wallet.walletId],
    ['address', wallet.address],
    ['user_id', wallet.userId],
    ['label', wallet.label],
    ['key_type', enumText(KeyTypeSchema, wallet.keyType)],
    ['owner_type', enumText(OwnerTypeSchema, wallet.ownerType)],
    ['state', enumText(WalletStateSchema, wallet.state)],
    ['public_key', wallet.publicKey],
    ['project_id', wallet.projectId],
    ['create_time', timeText(wallet.createTime)],
  ])

const printWallet = (terminal: Terminal, flags: Flags, wallet: Wallet | undefined): void => {
  if (wallet === undefined) return
  terminal.print(flags.json === true ? jsonText(WalletSchema, wallet) : describeWallet(wallet))
}

export const createWallet = async (userId: string, flags: Flags, terminal: Terminal): Promise<void> => {
  const keyType = parseEnumText(KeyTypeSchema, textFlag(flags, 'key-type')) ?? 0
  const ownerType = parseEnumText(OwnerTypeSchema, textFlag(flags, 'owner-type')) ?? 0
  const requestId = textFlag(flags, 'request-id') || randomUUID()
  await withDaemon(flags, terminal, async ({ wallets }) => {
    const request = { userId, keyType, ownerType, label: textFlag(flags, 'label'), requestId }
    const { wallet } = await wallets.createWallet(request)
    printWallet(terminal, flags, wallet)
  })
}

export const getWallet = async (wallet: string, flags: Flags, terminal: Terminal): Promise<void> => {
  const keyType = parseEnumText(KeyTypeSchema, textFlag(flags, 'key-type')) ?? 0
  await withDaemon(flags, terminal, async ({ wallets }) => {
    const answer = await wallets.getWallet({ wallet, keyType })
    printWallet(terminal, flags, answer.wallet)
  })
}

export const listWallets = async (limit: number, flags: Flags, terminal: Terminal): Promise<void> => {
  const userId = textFlag(flags, 'user-id')
  const found = await withDaemon(flags, terminal, ({ wallets }) =>
    listPages(limit, async (page) => {
      const answer = await wallets.listWallets({ ...page, userId })
      return { items: answer.wallets, nextPageToken: answer.nextPageToken }
    }),
  )
  if (flags.json === true) return terminal.print(jsonArray(WalletSchema, found))
  const rows = found.map((wallet) => [
    wallet.walletId,
    wallet.address,
    wallet.userId,
    wallet.label,
    enumText(WalletStateSchema, wallet.state),
    timeText(wallet.createTime),
  ])
  terminal.print(formatTable(['WALLET', 'ADDRESS', 'USER', 'LABEL', 'STATE', 'CREATED'], rows))
}

export const refreshShares = async (wallet: string, flags: Flags, terminal: Terminal): Promise<void> => {
  const requestId = textFlag(flags, 'request-id') || randomUUID()
  const answer = await withDaemon(flags, terminal, ({ wallets }) => wallets.refreshShares({ wallet, requestId }))
  if (flags.json === true) return terminal.print(jsonText(RefreshSharesResponseSchema, answer))
  terminal.print(
    formatFacts([
      ['wallet_id', answer.wallet?.walletId],
      ['address', answer.wallet?.address],
      ['refresh_count', String(answer.refreshCount)],
      ['refresh_time', timeText(answer.refreshTime)],
      ['receipt', answer.receipt && `${answer.receipt.sequence} ${hexText(answer.receipt.hash)}`],
    ]),
  )
}

type Content = { case: 'text'; value: string } | { case: 'data'; value: Uint8Array }

const parseHexFlag = (name: string, text: string): Uint8Array => {
  const digits = text.replace(/^0x/, '')
  if (!/^([0-9a-fA-F]{2})*$/.test(digits))
    throw new UsageRefusal(`--${name}: expected an even number of hex digits`)
  return new Uint8Array(Buffer.from(digits, 'hex'))
}

const readMessageFile = (path: string): Uint8Array => {
  const bytes = readFileSync(path === '-' ? 0 : path)
  if (bytes.length > MAX_MESSAGE_BYTES) throw new UsageRefusal(`--file: larger than ${MAX_MESSAGE_BYTES} bytes`)
  return new Uint8Array(bytes)
}

const readContent = (text: string | undefined, flags: Flags): { content: Content; isFormatted: boolean } => {
  const given = [
    text,
    ...['data-hex', 'file', 'digest-hex'].map((name) =>
      typeof flags[name] === 'string' ? flags[name] : undefined,
    ),
  ]
  if (given.filter((value) => value !== undefined).length !== 1) {
    throw new UsageRefusal('give the message once: as an argument, with --data-hex, --file or --digest-hex')
  }
  const [argument, dataHex, file, digestHex] = given
  if (argument !== undefined) return { content: { case: 'text', value: argument }, isFormatted: false }
  const value =
    dataHex === undefined
      ? file === undefined
        ? parseHexFlag('digest-hex', digestHex ?? '')
        : readMessageFile(file)
      : parseHexFlag('data-hex', dataHex)
  return { content: { case: 'data', value }, isFormatted: digestHex !== undefined }
}

export const signMessage = async (
  wallet: string,
  text: string | undefined,
  flags: Flags,
  terminal: Terminal,
): Promise<void> => {
  const { content, isFormatted } = readContent(text, flags)
  const requestId = textFlag(flags, 'request-id') || randomUUID()
  const answer = await withDaemon(flags, terminal, ({ wallets }) =>
    wallets.signMessage({ wallet, content, isFormatted, requestId }),
  )
  if (flags.json === true) return terminal.print(jsonText(SignMessageResponseSchema, answer))
  terminal.print(
    formatFacts([
      ['signature', answer.signature?.hex || answer.signature?.base58],
      ['digest', answer.digest.length === 0 ? undefined : `0x${hexText(answer.digest)}`],
      ['receipt', answer.receipt && `${answer.receipt.sequence} ${hexText(answer.receipt.hash)}`],
    ]),
  )
}
