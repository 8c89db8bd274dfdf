import { create, toJsonString } from '@bufbuild/protobuf'
import type { DescMessage, MessageShape } from '@bufbuild/protobuf'
import type { Call } from '../domain/call.ts'
import type { PageScope, PageTokens } from './page-token.ts'
import type { Page, PageRequest } from './use-cases.ts'

const DEFAULT_PAGE_SIZE = 50

type ListRequest = { readonly pageSize: number; readonly pageToken: string }

/** The filter a token is bound to: the request without its size and token, which may differ from page to page. */
const scopeOf = <Desc extends DescMessage>(desc: Desc, request: MessageShape<Desc>, call: Call): PageScope => {
  const filter = create(desc, { ...request, pageSize: 0, pageToken: '' } as never)
  return { caller: call.caller.principal, method: call.method, filter: toJsonString(desc, filter) }
}

/** Lists one page: opens the token asked with, and seals the one to go on with. Throws PAGE_TOKEN_INVALID. */
export const listPage = async <Desc extends DescMessage, T>(
  tokens: PageTokens,
  desc: Desc,
  request: MessageShape<Desc> & ListRequest,
  call: Call,
  list: (page: PageRequest) => Promise<Page<T>>,
): Promise<{ readonly items: readonly T[]; readonly nextPageToken: string }> => {
  const scope = scopeOf(desc, request, call)
  const cursor = tokens.open(scope, request.pageToken)
  const pageSize = request.pageSize === 0 ? DEFAULT_PAGE_SIZE : request.pageSize
  const { items, nextCursor } = await list({ pageSize, cursor })
  return { items, nextPageToken: tokens.seal(scope, nextCursor) }
}
