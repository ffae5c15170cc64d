import { keepPreviousData, useInfiniteQuery, useQueryClient } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';

import { toApiError } from '@/api/errors';
import { execsQuery } from '@/api/execs';
import { prependRows, rowsOf } from '@/api/pages';
import { useLiveRows } from '@/api/rows';
import type { ExecView } from '@/api/types';
import { useText } from '@/i18n/text';
import { RUN_COMMAND } from '@/parts/commands';
import { execColumns, isNewer } from '@/parts/execColumns';
import { buttonClass } from '@/ui/Button';
import { DataTable } from '@/ui/DataTable';
import { FilterChip, SearchBox } from '@/ui/Filters';
import { Page } from '@/ui/Page';
import { useColumns } from '@/ui/useColumns';
import { Empty, Failed, Loading } from '@/ui/States';

const route = getRouteApi('/execs');

/** Everything that was run, newest first. */
export function ExecsPage() {
  const { t } = useText();
  const client = useQueryClient();
  const filter = route.useSearch();
  const navigate = route.useNavigate();
  const query = execsQuery(filter);
  const execs = useInfiniteQuery({ ...query, placeholderData: keepPreviousData });
  const newestFirst = filter.sort !== 'issued_at';
  const arrivals = useLiveRows<ExecView>({
    topic: 'execs',
    queryKey: query.queryKey,
    keyOf: (exec) => exec.exec_id,
    rowIn: (event) => (event.kind === 'exec' ? event.exec : undefined),
    belongs: (exec, first) =>
      newestFirst &&
      isNewer(exec, first) &&
      (filter.state === undefined || exec.state === filter.state) &&
      (filter.job_id === undefined || exec.job_id === filter.job_id) &&
      (filter.prefix === undefined || exec.exec_id.startsWith(filter.prefix)),
  });
  const rows = rowsOf(execs.data);
  const { shown, choice } = useColumns('execs', execColumns(t));
  const set = (part: Partial<typeof filter>) =>
    void navigate({ search: { ...filter, ...part }, replace: true });
  const filtered =
    filter.state !== undefined || filter.job_id !== undefined || filter.prefix !== undefined;
  const count = execs.data?.pages[0]?.count;
  return (
    <Page
      title={t.execs.title}
      note={
        count !== undefined && (
          <span className="mono text-muted">
            {count.at_least}
            {!count.exact && '+'}
          </span>
        )
      }
      actions={
        <Link to="/run" className={buttonClass('main')}>
          {t.run.title}
        </Link>
      }
      fills
      bar={
        <div className="flex flex-wrap gap-2">
          <SearchBox
            value={filter.prefix}
            placeholder={t.execs.prefix}
            onChange={(prefix) => set({ prefix })}
          />
          <FilterChip
            name={t.execs.state}
            value={filter.state}
            options={[
              { value: 'running', label: t.execState.running },
              { value: 'ended', label: t.execState.ended },
            ]}
            onChange={(state) => set({ state })}
          />
          {filter.job_id !== undefined && (
            <FilterChip
              name={t.execs.job}
              value={filter.job_id}
              options={[{ value: filter.job_id, label: filter.job_id }]}
              onChange={(job_id) => set({ job_id })}
            />
          )}
          <span className="ml-auto">{choice}</span>
        </div>
      }
    >
      {execs.data === undefined ? (
        execs.error !== null ? (
          <Failed failure={toApiError(execs.error)} onRetry={() => void execs.refetch()} />
        ) : (
          <Loading />
        )
      ) : rows.length === 0 && !filtered ? (
        <Empty title={t.execs.emptyTitle} help={t.execs.empty} command={RUN_COMMAND} />
      ) : rows.length === 0 ? (
        <p className="text-muted p-4 md:px-6">{t.common.noMatch}</p>
      ) : (
        <DataTable
          key={JSON.stringify(filter)}
          name={t.execs.title}
          columns={shown}
          rows={rows}
          keyOf={(exec) => exec.exec_id}
          sort={filter.sort ?? '-issued_at'}
          onSort={(sort) => set({ sort: sort === 'issued_at' ? 'issued_at' : '-issued_at' })}
          hasMore={execs.hasNextPage}
          onMore={() => {
            if (!execs.isFetching) void execs.fetchNextPage();
          }}
          arrivals={arrivals.rows.length}
          onArrivals={() => {
            const newest = arrivals.rows.toSorted((a, b) => b.issued_at.localeCompare(a.issued_at));
            client.setQueryData(query.queryKey, (old) => old && prependRows(old, newest));
            arrivals.clear();
          }}
        />
      )}
    </Page>
  );
}
