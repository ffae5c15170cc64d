import { useInfiniteQuery } from '@tanstack/react-query';

import { toApiError } from '@/api/errors';
import { rowsOf } from '@/api/pages';
import { deadLettersQuery } from '@/api/system';
import type { DeadLetterView } from '@/api/types';
import type { Messages } from '@/i18n/en';
import type { Format } from '@/i18n/format';
import { useText } from '@/i18n/text';
import { DataTable, type Column } from '@/ui/DataTable';
import { Empty, Failed, Loading } from '@/ui/States';
import { Time } from '@/ui/Time';

/** Messages that could not be read. */
export function DeadLettersTab() {
  const { t, format } = useText();
  const letters = useInfiniteQuery(deadLettersQuery);
  if (letters.data === undefined) {
    return letters.error === null ? (
      <Loading />
    ) : (
      <Failed failure={toApiError(letters.error)} onRetry={() => void letters.refetch()} />
    );
  }
  const rows = rowsOf(letters.data);
  if (rows.length === 0) {
    return (
      <Empty
        title={t.system.deadTitle}
        help={t.system.deadEmpty}
        command="kanade get dead-letters"
      />
    );
  }
  return (
    <DataTable
      name={t.system.tabs.deadLetters}
      columns={columns(t, format)}
      rows={rows}
      keyOf={(row) => String(row.dead_letter_id)}
      hasMore={letters.hasNextPage}
      onMore={() => {
        if (!letters.isFetching) void letters.fetchNextPage();
      }}
    />
  );
}

function columns(t: Messages, format: Format): readonly Column<DeadLetterView>[] {
  return [
    { id: 'at', title: t.system.at, width: '8rem', cell: (row) => <Time at={row.at} /> },
    {
      id: 'subject',
      title: t.system.subject,
      width: '16rem',
      from: 'md',
      cell: (row) => <span className="mono">{row.subject}</span>,
    },
    {
      id: 'reason',
      title: t.system.reason,
      cell: (row) => <span title={row.reason}>{row.reason}</span>,
    },
    {
      id: 'size',
      title: t.system.size,
      width: '6rem',
      number: true,
      from: 'lg',
      cell: (row) => format.bytes(row.size_bytes),
    },
    {
      id: 'payload',
      title: t.system.payload,
      from: 'lg',
      cell: (row) => (
        <span className="mono text-muted" title={row.payload_head}>
          {row.payload_head}
        </span>
      ),
    },
  ];
}
