/** Sealed secrets of session keys as they are stored now, so that a busy key's is read once. */
import { failure } from '../domain/failure.ts'
import type { SessionKeyId } from '../domain/ids.ts'
import type { SessionSecret, SessionSigner } from '../party/session-signer.ts'
import { getSessionSecret, KEY_SECRET, listSecretNames, type SealedSecret } from '../vault/session-secrets.ts'
import type { Reader } from '../vault/store.ts'

const MAX_SECRETS = 10_000
const TABLE = 'session_secrets'

export class SessionSecrets {
  readonly #reader: Reader
  readonly #signer: Pick<SessionSigner, 'reveal'>
  readonly #sealed = new Map<string, SealedSecret | undefined>()
  readonly #texts = new Map<string, { readonly [name: string]: string }>()
  #writes = -1

  constructor(reader: Reader, signer: Pick<SessionSigner, 'reveal'>) {
    this.#reader = reader
    this.#signer = signer
  }

  /** Refuses with CREDENTIAL_MISSING. */
  require(id: SessionKeyId, name: string, publicKey: Uint8Array): SessionSecret {
    const sealed = this.#find(id, name)
    if (sealed === undefined) throw failure('CREDENTIAL_MISSING', { name })
    return { sealed, publicKey }
  }

  /** The credentials that requests carry as they are; those that are signed with never leave their thread. */
  async texts(id: SessionKeyId): Promise<{ readonly [name: string]: string }> {
    this.#forgetOld()
    const known = this.#texts.get(id)
    if (known !== undefined) return known
    const writes = this.#writes
    const texts: Record<string, string> = {}
    for (const name of listSecretNames(this.#reader, id)) {
      const sealed = name === KEY_SECRET ? undefined : this.#find(id, name)
      const text = sealed?.kind === 'text' ? await this.#signer.reveal(sealed) : undefined
      if (text !== undefined) texts[name] = text
    }
    if (writes === this.#writes) this.#texts.set(id, texts)
    return texts
  }

  #find(id: SessionKeyId, name: string): SealedSecret | undefined {
    this.#forgetOld()
    const place = `${id} ${name}`
    if (this.#sealed.has(place)) return this.#sealed.get(place)
    const sealed = getSessionSecret(this.#reader, id, name)
    this.#sealed.set(place, sealed)
    return sealed
  }

  #forgetOld(): void {
    const writes = this.#reader.writesTo(TABLE)
    if (writes === this.#writes && this.#sealed.size < MAX_SECRETS) return
    this.#sealed.clear()
    this.#texts.clear()
    this.#writes = writes
  }
}
