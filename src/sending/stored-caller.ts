/** Who asked for a version of a send, kept with it: what was cut off before it was signed is signed as theirs, or not at all. */
import type { Caller } from '../domain/call.ts'
import type { Permission } from '../policy/permissions.ts'

export type StoredCaller = {
  readonly caller: Caller
  /** In place of what the content asks for. */
  readonly permission: Permission | undefined
}

export const storeCaller = ({ caller, permission }: StoredCaller): string =>
  JSON.stringify({
    caller: 'permissions' in caller ? { ...caller, permissions: [...caller.permissions] } : caller,
    ...(permission === undefined ? {} : { permission }),
  })

/** Of a row whose MAC was checked. */
export const readStoredCaller = (text: string): StoredCaller => {
  const { caller, permission } = JSON.parse(text) as {
    readonly caller: Caller & { readonly permissions?: readonly string[] }
    readonly permission?: Permission
  }
  if (caller.kind === 'end_user' || caller.kind === 'delegate') return { caller, permission }
  return { caller: { ...caller, permissions: new Set(caller.permissions) }, permission }
}
