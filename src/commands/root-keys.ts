import type { Config, Secrets } from '../config/config.ts'
import { createRootKeyProvider, type RootKeyProvider } from '../vault/root-key-provider.ts'

export type RootKeyProviders = { readonly daemon: RootKeyProvider; readonly cosigner: RootKeyProvider }

/** The two providers that the configuration names, each with its own passphrase. Nothing is read yet. */
export const rootKeyProviders = (config: Config, secrets: Secrets): RootKeyProviders => {
  const { credentialsDirectory } = config
  return {
    daemon: createRootKeyProvider(config.rootKey.uri, {
      passphrase: secrets.rootKeyPassphrase?.reveal(),
      credentialsDirectory,
    }),
    cosigner: createRootKeyProvider(config.cosignerRootKey.uri, {
      passphrase: secrets.cosignerRootKeyPassphrase?.reveal(),
      credentialsDirectory,
    }),
  }
}
