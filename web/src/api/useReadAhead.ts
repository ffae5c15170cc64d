import { useEffect, useEffectEvent } from 'react';

interface Pages {
  data: { pages: readonly { items: readonly unknown[] }[] } | undefined;
  hasNextPage: boolean;
  isFetching: boolean;
  isError: boolean;
  fetchNextPage: () => unknown;
}

/** Reads one page after the other, until there are `most` rows. */
export function useReadAhead(query: Pages, most: number): void {
  const rows = query.data?.pages.reduce((sum, page) => sum + page.items.length, 0) ?? 0;
  const ready = query.hasNextPage && !query.isFetching && !query.isError && rows < most;
  const next = useEffectEvent(() => query.fetchNextPage());
  useEffect(() => {
    if (ready) next();
  }, [ready, rows]);
}
