import { type InfiniteData, type QueryKey, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';

import { useLive } from './live';
import { patchPages } from './pages';
import type { LiveEvent, Page } from './types';

interface Options<T> {
  topic: string;
  queryKey: QueryKey;
  keyOf: (row: T) => string;
  /** The row that an event carries. */
  rowIn: (event: LiveEvent) => T | undefined;
  /** Whether a row that is on no page belongs into this list, as a new one. */
  belongs: (row: T, first: T | undefined) => boolean;
}

/** New rows of a list, held back until somebody wants to see them. */
export interface Arrivals<T> {
  rows: T[];
  /** Forgets them, since they are shown now. */
  clear: () => void;
}

type Rows<T> = InfiniteData<Page<T>, string | undefined>;

/** Keeps the rows of a list up to date where they are, and collects new ones. */
export function useLiveRows<T>(options: Options<T>): Arrivals<T> {
  const { queryKey, keyOf } = options;
  const client = useQueryClient();
  const [held, setHeld] = useState<{ of: string; rows: T[] }>({ of: '', rows: [] });
  const of = JSON.stringify(queryKey);
  useLive(options.topic, [queryKey], (events) => {
    const rows = events.map(options.rowIn).filter((row) => row !== undefined);
    if (rows.length === 0) return;
    const changed = new Map(rows.map((row) => [keyOf(row), row]));
    const data = client.getQueryData<Rows<T>>(queryKey);
    if (data === undefined) return;
    const patched = patchPages(data, changed, keyOf);
    client.setQueryData(queryKey, patched.data);
    // While there are pages that were not read, a stranger may be an old one from there.
    const first = data.pages[0]?.items[0];
    const fresh = patched.strangers.filter((row) => options.belongs(row, first));
    if (fresh.length === 0) return;
    setHeld((before) => {
      const known = before.of === of ? before.rows : [];
      const merged = new Map(known.map((row) => [keyOf(row), row]));
      for (const row of fresh) merged.set(keyOf(row), row);
      return { of, rows: [...merged.values()] };
    });
  });
  return {
    rows: held.of === of ? held.rows : [],
    clear: () => setHeld({ of, rows: [] }),
  };
}
