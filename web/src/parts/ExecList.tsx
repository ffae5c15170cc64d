import { useQueryClient, useSuspenseInfiniteQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';

import { execsQuery, type ExecFilter } from '@/api/execs';
import { prependRows, rowsOf } from '@/api/pages';
import { useLiveRows } from '@/api/rows';
import type { ExecView } from '@/api/types';
import { Time } from '@/ui/Time';

import { isNewer } from './execColumns';
import { ExecProgress } from './ExecProgress';
import { ExecStatus } from './ExecStatus';
import { useEffect, useEffectEvent, type ReactNode } from 'react';

interface Props {
  filter: ExecFilter;
  most: number;
  empty: ReactNode;
}

/** The newest execs in a few lines, live. */
export function ExecList({ filter, most, empty }: Props) {
  const client = useQueryClient();
  const query = execsQuery(filter, most);
  const { data } = useSuspenseInfiniteQuery(query);
  const arrivals = useLiveRows<ExecView>({
    topic: 'execs',
    queryKey: query.queryKey,
    keyOf: (exec) => exec.exec_id,
    rowIn: (event) => (event.kind === 'exec' ? event.exec : undefined),
    belongs: (exec, first) =>
      isNewer(exec, first) && (filter.state == null || exec.state === filter.state),
  });
  const show = useEffectEvent(() => {
    const newest = arrivals.rows.toSorted((a, b) => b.issued_at.localeCompare(a.issued_at));
    client.setQueryData(query.queryKey, (old) => old && prependRows(old, newest));
    arrivals.clear();
  });
  useEffect(() => {
    if (arrivals.rows.length > 0) show();
  }, [arrivals.rows.length]);
  const rows = rowsOf(data)
    .filter((exec) => filter.state == null || exec.state === filter.state)
    .slice(0, most);
  if (rows.length === 0) return empty;
  return (
    <ul className="border-line border-t">
      {rows.map((exec) => (
        <li
          key={exec.exec_id}
          className="border-line hover:bg-hover grid min-h-9 grid-cols-[minmax(0,1fr)_7rem] items-center gap-x-4 border-b px-1 sm:grid-cols-[minmax(0,1fr)_14rem_7rem_7rem]"
        >
          <Link
            to="/execs/$execId"
            params={{ execId: exec.exec_id }}
            className={`link truncate ${exec.job_id == null ? 'mono' : ''}`}
          >
            {exec.job_id ?? exec.title}
          </Link>
          <span className="max-sm:hidden">
            <ExecProgress counts={exec.counts} />
          </span>
          <ExecStatus exec={exec} />
          <span className="text-muted max-sm:hidden">
            <Time at={exec.issued_at} />
          </span>
        </li>
      ))}
    </ul>
  );
}
