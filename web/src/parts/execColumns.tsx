import { Link } from '@tanstack/react-router';

import type { ExecView } from '@/api/types';
import type { Messages } from '@/i18n/en';
import type { Column } from '@/ui/DataTable';
import { Time } from '@/ui/Time';

import { ExecProgress } from './ExecProgress';
import { ExecStatus } from './ExecStatus';

/** The columns of every list of execs. */
export function execColumns(t: Messages): readonly Column<ExecView>[] {
  return [
    {
      id: 'what',
      title: t.execs.what,
      cell: (exec) => (
        <Link
          to="/execs/$execId"
          params={{ execId: exec.exec_id }}
          className={`link ${exec.job_id == null ? 'mono' : ''}`}
        >
          {exec.job_id ?? exec.title}
        </Link>
      ),
    },
    {
      id: 'state',
      title: t.execs.state,
      width: 'min(8rem, 34vw)',
      cell: (exec) => <ExecStatus exec={exec} />,
    },
    {
      id: 'progress',
      title: t.execs.progress,
      width: '15rem',
      from: 'md',
      cell: (exec) => <ExecProgress counts={exec.counts} />,
    },
    { id: 'by', title: t.execs.by, width: '8rem', from: 'lg', cell: (exec) => exec.issued_by },
    {
      id: 'issued',
      title: t.execs.issued,
      width: '8rem',
      from: 'sm',
      cell: (exec) => <Time at={exec.issued_at} />,
    },
  ];
}

/** The order in which new rows arrive: after the newest that is shown. */
export function isNewer(exec: ExecView, first: ExecView | undefined): boolean {
  return first === undefined || exec.issued_at > first.issued_at;
}
