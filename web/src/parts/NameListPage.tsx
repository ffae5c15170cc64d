import type { UseInfiniteQueryResult } from '@tanstack/react-query';
import type { ReactNode } from 'react';

import { toApiError } from '@/api/errors';
import { useText } from '@/i18n/text';
import { DataTable, type Column } from '@/ui/DataTable';
import { SearchBox } from '@/ui/Filters';
import { Page } from '@/ui/Page';
import { Failed, Loading } from '@/ui/States';

interface Props<T> {
  title: string;
  query: UseInfiniteQueryResult;
  rows: readonly T[];
  columns: readonly Column<T>[];
  keyOf: (row: T) => string;
  search?: { value: string | undefined; onChange: (value: string | undefined) => void };
  empty: ReactNode;
  actions?: ReactNode;
}

/** A list that has a name, a text to search by, and nothing more to filter. */
export function NameListPage<T>(props: Props<T>) {
  const { t, format } = useText();
  const { query, rows, search } = props;
  return (
    <Page
      title={props.title}
      note={
        query.data !== undefined && (
          <span className="mono text-muted">
            {format.number(rows.length)}
            {query.hasNextPage && '+'}
          </span>
        )
      }
      actions={props.actions}
      fills
      bar={
        search !== undefined && (
          <div>
            <SearchBox
              value={search.value}
              placeholder={t.common.search}
              onChange={search.onChange}
            />
          </div>
        )
      }
    >
      {query.data === undefined ? (
        query.error === null ? (
          <Loading />
        ) : (
          <Failed failure={toApiError(query.error)} onRetry={() => void query.refetch()} />
        )
      ) : rows.length === 0 && search?.value === undefined ? (
        props.empty
      ) : rows.length === 0 ? (
        <p className="text-muted p-4 md:px-6">{t.common.noMatch}</p>
      ) : (
        <DataTable
          name={props.title}
          columns={props.columns}
          rows={rows}
          keyOf={props.keyOf}
          hasMore={query.hasNextPage}
          onMore={() => {
            if (!query.isFetching) void query.fetchNextPage();
          }}
        />
      )}
    </Page>
  );
}
