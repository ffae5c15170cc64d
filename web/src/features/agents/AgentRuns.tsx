import { useInfiniteQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';

import { toApiError } from '@/api/errors';
import { pcResultsQuery } from '@/api/execs';
import { rowsOf } from '@/api/pages';
import type { ResultView } from '@/api/types';
import type { Messages } from '@/i18n/en';
import type { Format } from '@/i18n/format';
import { useText } from '@/i18n/text';
import { OutcomeStatus } from '@/parts/states';
import { DataTable, type Column } from '@/ui/DataTable';
import { Empty, Failed, Loading } from '@/ui/States';
import { Time } from '@/ui/Time';

const EVERY_MS = 5_000;

/** What ran on one PC, newest first. */
export function AgentRuns({ pcId }: { pcId: string }) {
  const { t, format } = useText();
  const results = useInfiniteQuery({ ...pcResultsQuery(pcId), refetchInterval: EVERY_MS });
  if (results.data === undefined) {
    return results.error === null ? (
      <Loading />
    ) : (
      <Failed failure={toApiError(results.error)} onRetry={() => void results.refetch()} />
    );
  }
  const rows = rowsOf(results.data);
  if (rows.length === 0) {
    const command = `kanade run -t pc:${pcId} -- uptime`;
    return <Empty title={t.agent.noRuns} help={t.execs.empty} command={command} />;
  }
  return (
    <DataTable
      name={t.agent.tabs.runs}
      columns={columns(t, format)}
      rows={rows}
      keyOf={(result) => result.request_id}
      hasMore={results.hasNextPage}
      onMore={() => {
        if (!results.isFetching) void results.fetchNextPage();
      }}
    />
  );
}

function columns(t: Messages, format: Format): readonly Column<ResultView>[] {
  return [
    {
      id: 'exec',
      title: t.agent.exec,
      width: 'min(11rem, 34vw)',
      cell: (result) => (
        <Link
          to="/execs/$execId"
          params={{ execId: result.exec_id }}
          className={`link ${result.job_id == null ? 'mono' : ''}`}
        >
          {result.job_id ?? result.exec_id.slice(0, 12)}
        </Link>
      ),
    },
    {
      id: 'outcome',
      title: t.agent.outcome,
      width: 'min(7.5rem, 30vw)',
      cell: (result) => <OutcomeStatus outcome={result.outcome} />,
    },
    {
      id: 'exit',
      title: t.agent.exit,
      width: '4.5rem',
      number: true,
      from: 'md',
      cell: (result) => result.exit_code ?? t.common.none,
    },
    {
      id: 'output',
      title: t.agent.output,
      from: 'sm',
      cell: (result) => (
        <span className="mono text-muted">
          {result.reason?.text ?? firstLine(result.stdout.head || result.stderr.head)}
        </span>
      ),
    },
    {
      id: 'took',
      title: t.agent.took,
      width: '6rem',
      number: true,
      from: 'lg',
      cell: (result) =>
        result.started_at == null
          ? t.common.none
          : format.duration(Date.parse(result.ended_at) - Date.parse(result.started_at)),
    },
    {
      id: 'ended',
      title: t.agent.ended,
      width: 'min(8rem, 34vw)',
      cell: (result) => <Time at={result.ended_at} />,
    },
  ];
}

/** Colours and the like make no sense in a cell of a table. */
function firstLine(text: string): string {
  // eslint-disable-next-line no-control-regex -- the escape character is what is meant
  return (text.split('\n', 1)[0] ?? '').replaceAll(/\u001b\[[0-9;]*[A-Za-z]/g, '');
}
