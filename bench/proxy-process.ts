/** The proxy between two parties that the bench measures, in a process of its own: nobody else's work delays it further. */
import { DelayingProxy } from '../test/fault/delaying-proxy.ts'

type Told = { readonly target: string } | { readonly delayMs: number }

let proxy: DelayingProxy | undefined
const obey = async (told: Told): Promise<void> => {
  if ('target' in told) proxy = await DelayingProxy.open(told.target, 0)
  else proxy?.setDelay(told.delayMs)
  process.send?.(proxy?.address ?? '')
}
process.on('message', (told: Told) => void obey(told))
process.on('disconnect', () => process.exit())
