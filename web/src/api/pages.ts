import { infiniteQueryOptions, type InfiniteData, type QueryKey } from '@tanstack/react-query';

import type { Page } from './types';

/** Rows that one request asks for; the most that the API gives. */
export const PAGE_ROWS = 500;

/** A list that is read page by page, from the first on. */
export function pagedQuery<T>(
  queryKey: QueryKey,
  fetchPage: (cursor: string | undefined, signal: AbortSignal) => Promise<Page<T>>,
) {
  return infiniteQueryOptions({
    queryKey,
    queryFn: ({ pageParam, signal }) => fetchPage(pageParam, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next ?? undefined,
  });
}

/** All rows that were read so far. */
export function rowsOf<T>(data: InfiniteData<Page<T>> | undefined): T[] {
  return data?.pages.flatMap((page) => page.items) ?? [];
}

/** What became of rows that changed. */
export interface Patched<D, T> {
  data: D;
  /** Those that are on no page that was read. */
  strangers: T[];
}

/** Puts changed rows in the places of the old ones; nothing moves. */
export function patchPages<T, P>(
  data: InfiniteData<Page<T>, P>,
  changed: ReadonlyMap<string, T>,
  keyOf: (row: T) => string,
): Patched<InfiniteData<Page<T>, P>, T> {
  const left = new Map(changed);
  const pages = data.pages.map((page) => {
    let items: T[] | undefined;
    page.items.forEach((row, index) => {
      const now = changed.get(keyOf(row));
      if (now === undefined) return;
      items ??= [...page.items];
      items[index] = now;
      left.delete(keyOf(row));
    });
    return items === undefined ? page : { ...page, items };
  });
  return { data: { ...data, pages }, strangers: [...left.values()] };
}

/** Puts new rows before all others. */
export function prependRows<T, P>(
  data: InfiniteData<Page<T>, P>,
  rows: readonly T[],
): InfiniteData<Page<T>, P> {
  const [first, ...rest] = data.pages;
  if (first === undefined || rows.length === 0) return data;
  const count = { ...first.count, at_least: first.count.at_least + rows.length };
  return { ...data, pages: [{ ...first, items: [...rows, ...first.items], count }, ...rest] };
}
