/** The signing secrets of endpoints: kept by the vault under its root, opened for one attempt. */
import type { DaemonVault } from '../vault/daemon-vault.ts'
import type { Tx } from '../vault/store.ts'
import { listLapsedWebhooks, type Webhook } from '../vault/webhooks.ts'
import type { SigningSecrets } from './webhook-format.ts'

type Named = Pick<Webhook, 'webhookId'>
type Keeper = Pick<DaemonVault, 'secrets'>

const currentName = ({ webhookId }: Named): string => `webhook:${webhookId}`
const previousName = ({ webhookId }: Named): string => `webhook:${webhookId}:previous`

const read = ({ secrets }: Keeper, name: string): string | undefined => {
  const bytes = secrets.read(name)
  const text = bytes === undefined ? undefined : Buffer.from(bytes).toString('utf8')
  bytes?.fill(0)
  return text
}

const write = ({ secrets }: Keeper, tx: Tx, name: string, secret: string): void => {
  const bytes = Buffer.from(secret)
  secrets.write(tx, name, bytes)
  bytes.fill(0)
}

export const readSecrets = (vault: Keeper, webhook: Named & Pick<Webhook, 'previousUntilMs'>, nowMs: number): SigningSecrets => {
  const current = read(vault, currentName(webhook))
  if (current === undefined) throw new Error('assertion: a webhook has a secret')
  return { current, previous: nowMs < webhook.previousUntilMs ? read(vault, previousName(webhook)) : undefined }
}

/** `keepsPrevious`: the one that is there goes on beside it. */
export const writeSecret = (vault: Keeper, tx: Tx, webhook: Named, secret: string, keepsPrevious: boolean): void => {
  const before = keepsPrevious ? read(vault, currentName(webhook)) : undefined
  if (before === undefined) vault.secrets.remove(tx, previousName(webhook))
  else write(vault, tx, previousName(webhook), before)
  write(vault, tx, currentName(webhook), secret)
}

/** Erases older secrets whose time is over. They count no longer whether or not this has run. */
export const eraseLapsedSecrets = async (vault: Pick<DaemonVault, 'read' | 'commit' | 'secrets'>, nowMs: number): Promise<number> => {
  const lapsed = listLapsedWebhooks(vault.read, nowMs).filter((webhook) => read(vault, previousName(webhook)) !== undefined)
  if (lapsed.length === 0) return 0
  return vault.commit((tx) => {
    const still = listLapsedWebhooks(tx, nowMs)
    for (const webhook of still) vault.secrets.remove(tx, previousName(webhook))
    return still.length
  })
}

export const removeSecrets = (vault: Keeper, tx: Tx, webhook: Named): void => {
  vault.secrets.remove(tx, currentName(webhook))
  vault.secrets.remove(tx, previousName(webhook))
}
