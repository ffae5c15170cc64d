import { useInfiniteQuery } from '@tanstack/react-query';

import { toApiError } from '@/api/errors';
import { rowsOf } from '@/api/pages';
import { gapsQuery } from '@/api/system';
import { useText } from '@/i18n/text';
import { SmallTable } from '@/ui/SmallTable';
import { Empty, Failed, Loading } from '@/ui/States';
import { Time } from '@/ui/Time';

/** Stretches of messages that were gone before they were stored. */
export function GapsTab() {
  const { t, format } = useText();
  const gaps = useInfiniteQuery(gapsQuery);
  if (gaps.data === undefined) {
    return gaps.error === null ? (
      <Loading />
    ) : (
      <Failed failure={toApiError(gaps.error)} onRetry={() => void gaps.refetch()} />
    );
  }
  const rows = rowsOf(gaps.data);
  if (rows.length === 0) {
    return <Empty title={t.system.gapsTitle} help={t.system.gapsEmpty} command="kanade doctor" />;
  }
  return (
    <div className="overflow-y-auto p-4 md:p-6">
      <SmallTable
        name={t.system.tabs.gaps}
        rows={rows}
        keyOf={(gap) => `${gap.stream} ${gap.first}`}
        columns={[
          { title: t.system.at, cell: (gap) => <Time at={gap.at} /> },
          { title: t.system.stream, cell: (gap) => <span className="mono">{gap.stream}</span> },
          {
            title: t.system.range,
            number: true,
            cell: (gap) => `${format.number(gap.first)} – ${format.number(gap.last)}`,
          },
        ]}
      />
    </div>
  );
}
