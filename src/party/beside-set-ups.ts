import type { OpeningDeps } from './operation-deps.ts'
import { PeerRefusal } from './peer-refusal.ts'

const MAX_ATTEMPTS = 3

/**
 * Work that begins a session of its own and takes no link lock: begun again where a set-up of the link came in between,
 * once that is over.
 */
export const besideSetUps = async <T>({ align }: Pick<OpeningDeps, 'align'>, work: () => Promise<T>): Promise<T> => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      const cameBetween = error instanceof PeerRefusal && error.refusal.code === 'session'
      if (!cameBetween || attempt >= MAX_ATTEMPTS) throw error
    }
    await align()
  }
}
