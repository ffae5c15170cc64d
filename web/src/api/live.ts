import { type QueryClient, type QueryKey, useQueryClient } from '@tanstack/react-query';
import { useEffect, useEffectEvent, useState, useSyncExternalStore } from 'react';

import { Live } from '@/lib/live/live';
import { watchReachable } from '@/lib/live/ping';

import type { LiveEvent } from './types';

/** Held-back changes are tried again after this. */
const AGAIN_MS = 100;

/** This tab's live changes. */
export const live = new Live();

/**
 * Keeps queries up to date by the changes under `topic`: each batch goes to `apply`, and the
 * queries under `keys` are read again when changes were missed.
 *
 * A batch waits while one of the queries is being read: its answer may be older than the
 * change, and would undo it.
 */
export function useLive(
  topic: string,
  keys: readonly QueryKey[],
  apply: (events: LiveEvent[]) => void,
): void {
  const client = useQueryClient();
  const onEvents = useEffectEvent(apply);
  const isFetching = useEffectEvent(() =>
    keys.some((queryKey) => client.isFetching({ queryKey, type: 'active' }) > 0),
  );
  const readAgain = useEffectEvent(() => {
    for (const queryKey of keys) void reread(client, queryKey);
  });
  useEffect(() => {
    let held: LiveEvent[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const flush = () => {
      clearTimeout(timer);
      if (held.length === 0) return;
      if (isFetching()) {
        timer = setTimeout(flush, AGAIN_MS);
        return;
      }
      const events = held;
      held = [];
      onEvents(events);
    };
    const stop = live.listen(topic, ({ reset, data }) => {
      if (reset) readAgain();
      // The backend's document has no schema for events; unknown kinds are passed over below.
      held.push(...(data as LiveEvent[]));
      flush();
    });
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, [topic]);
}

/**
 * Reads queries again. A first answer that is on its way can't be called off, and may be older
 * than what it has to be newer than: then once more after it.
 */
async function reread(client: QueryClient, queryKey: QueryKey): Promise<void> {
  const onTheirWay = client.getQueryCache().findAll({ queryKey, fetchStatus: 'fetching' });
  const first = onTheirWay.some((query) => query.state.data === undefined);
  await client.invalidateQueries({ queryKey });
  if (first) await client.invalidateQueries({ queryKey });
}

/** How this tab stands with the backend. */
export type Connection = 'connecting' | 'live' | 'lost';

/** The connection as it is now; `lost` within three seconds after it broke. */
export function useConnection(): Connection {
  const stream = useSyncExternalStore(
    (changed) => live.onStatus(changed),
    () => live.status,
  );
  const [reachable, setReachable] = useState(true);
  useEffect(() => watchReachable(setReachable), []);
  if (!reachable || stream === 'lost') return 'lost';
  return stream === 'live' ? 'live' : 'connecting';
}
