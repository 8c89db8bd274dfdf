/** A call as the pipeline hands it to a use case. */
import type { ApiKeyCaller, Call, Caller } from '../../src/domain/call.ts'
import { StageTimes } from '../../src/domain/stages.ts'
import type { Permission } from '../../src/policy/permissions.ts'
import { DEFAULT_PROJECT } from '../../src/vault/projects.ts'
import { NOW } from '../vault/fixture.ts'

/** `method`: service and name, of `countersign.v1`. */
export const callOf = (caller: Caller, method: string, rest: Partial<Call> = {}): Call => ({
  caller,
  method: `countersign.v1.${method}`,
  requestId: undefined,
  isRepeat: false,
  whenPoolIsEmpty: 'wait',
  stages: new StageTimes(),
  releaseChecks: [],
  deadlineMs: NOW + 10_000,
  signal: new AbortController().signal,
  ...rest,
})

/** The caller that an API key of a project is. */
export const callerOf = (key: { readonly keyId: ApiKeyCaller['apiKeyId'] }, ...permissions: Permission[]): ApiKeyCaller => ({
  kind: 'project',
  principal: key.keyId,
  apiKeyId: key.keyId,
  projectId: DEFAULT_PROJECT,
  permissions: new Set(permissions),
})
