const PAGE_SIZE = 500

/** Follows page tokens until `limit` items are there; 0 means all. */
export const listPages = async <T>(
  limit: number,
  fetchPage: (page: { pageSize: number; pageToken: string }) => Promise<{ items: T[]; nextPageToken: string }>,
): Promise<T[]> => {
  const wanted = limit === 0 ? Number.POSITIVE_INFINITY : limit
  const found: T[] = []
  let pageToken = ''
  do {
    const page = await fetchPage({ pageSize: Math.min(PAGE_SIZE, wanted - found.length), pageToken })
    found.push(...page.items)
    pageToken = page.nextPageToken
  } while (pageToken !== '' && found.length < wanted)
  return found
}
