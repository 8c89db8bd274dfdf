import type { ProjectId } from '../domain/ids.ts'

/** Names of the secrets that the vault keeps for use cases (`KeptSecrets`), where more than one of them has to know. */
export const oidcClientSecretName = (project: ProjectId, provider: string): string => `oidc-client:${project}:${provider}`
