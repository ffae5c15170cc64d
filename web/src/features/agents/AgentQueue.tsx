import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';

import { queueQuery } from '@/api/agents';
import { toApiError } from '@/api/errors';
import type { QueuedView } from '@/api/types';
import type { Messages } from '@/i18n/en';
import { useText } from '@/i18n/text';
import { TargetStatus } from '@/parts/states';
import { DataTable, type Column } from '@/ui/DataTable';
import { Empty, Failed, Loading } from '@/ui/States';
import { Time } from '@/ui/Time';

/** What waits for one PC or runs on it, oldest first, with its deadlines. */
export function AgentQueue({ pcId }: { pcId: string }) {
  const { t } = useText();
  const queue = useQuery(queueQuery(pcId));
  if (queue.data === undefined) {
    return queue.error === null ? (
      <Loading />
    ) : (
      <Failed failure={toApiError(queue.error)} onRetry={() => void queue.refetch()} />
    );
  }
  if (queue.data.length === 0) {
    const command = `kanade run -t pc:${pcId} --deadline 8h -- uptime`;
    return <Empty title={t.agent.queueEmpty} help={t.agent.queueEmptyHelp} command={command} />;
  }
  return (
    <DataTable
      name={t.agent.tabs.queue}
      columns={columns(t)}
      rows={queue.data}
      keyOf={(entry) => entry.exec_id}
    />
  );
}

function columns(t: Messages): readonly Column<QueuedView>[] {
  return [
    {
      id: 'exec',
      title: t.agent.exec,
      width: 'min(18rem, 36vw)',
      cell: (entry) => (
        <Link
          to="/execs/$execId"
          params={{ execId: entry.exec_id }}
          className={`link ${entry.job_id == null ? 'mono' : ''}`}
        >
          {entry.job_id ?? entry.title}
        </Link>
      ),
    },
    {
      id: 'state',
      title: t.exec.state,
      width: 'min(8rem, 30vw)',
      cell: (entry) => <TargetStatus target={entry.target} />,
    },
    {
      id: 'why',
      title: t.exec.why,
      from: 'lg',
      cell: ({ target }) => (
        <span className="text-muted" title={target.why?.text}>
          {target.stopping === true ? t.exec.stopping : target.why?.text}
        </span>
      ),
    },
    {
      id: 'deadline',
      title: t.agent.deadline,
      width: 'min(9rem, 32vw)',
      // What has started may go on after its deadline.
      cell: (entry) =>
        entry.target.state === 'running' ? t.common.none : <Time at={entry.deadline} />,
    },
    {
      id: 'issued',
      title: t.execs.issued,
      width: '8rem',
      from: 'md',
      cell: (entry) => <Time at={entry.issued_at} />,
    },
    { id: 'by', title: t.execs.by, width: '7rem', from: 'lg', cell: (entry) => entry.issued_by },
  ];
}
