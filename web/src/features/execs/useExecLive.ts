import { type InfiniteData, useQueryClient } from '@tanstack/react-query';

import { execQuery, execResultsQuery } from '@/api/execs';
import { useLive } from '@/api/live';
import { patchPages } from '@/api/pages';
import type { LiveEvent, Page, ResultView, TargetView } from '@/api/types';

type Pages<T> = InfiniteData<Page<T>, string | undefined>;

/** Keeps one exec, its targets and its results up to date while its page is open. */
export function useExecLive(execId: string): void {
  const client = useQueryClient();
  const exec = execQuery(execId).queryKey;
  const results = execResultsQuery(execId).queryKey;
  const targets = ['targets', execId];
  useLive(`exec:${execId}`, [exec, results, targets], (events) => {
    const now = events.findLast((event) => event.kind === 'exec');
    if (now !== undefined) client.setQueryData(exec, now.exec);
    const changed = changedTargets(events);
    if (changed.size > 0) {
      client.setQueriesData<Pages<TargetView>>(
        { queryKey: targets },
        (data) => data && patchPages(data, changed, (target) => target.pc_id).data,
      );
    }
    const arrived = events.filter((event) => event.kind === 'result');
    if (arrived.length > 0) {
      client.setQueryData<Pages<ResultView>>(
        results,
        (data) =>
          data &&
          appendRows(
            data,
            arrived.map((event) => event.result),
          ),
      );
    }
  });
}

function changedTargets(events: readonly LiveEvent[]): Map<string, TargetView> {
  const changed = new Map<string, TargetView>();
  for (const event of events) {
    if (event.kind === 'target') changed.set(event.target.pc_id, event.target);
  }
  return changed;
}

/** Results come in the order of the list, so new ones belong at its end. */
function appendRows<T>(data: Pages<T>, rows: readonly T[]): Pages<T> {
  const last = data.pages.at(-1);
  if (last === undefined) return data;
  const pages = [...data.pages.slice(0, -1), { ...last, items: [...last.items, ...rows] }];
  return { ...data, pages };
}
