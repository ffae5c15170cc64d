import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';

import { jobsQuery } from '@/api/jobs';
import { rowsOf } from '@/api/pages';
import type { JobView } from '@/api/types';
import type { Messages } from '@/i18n/en';
import { useText } from '@/i18n/text';
import { JOB_COMMAND } from '@/parts/commands';
import { NameListPage } from '@/parts/NameListPage';
import type { Column } from '@/ui/DataTable';
import { Empty } from '@/ui/States';
import { Time } from '@/ui/Time';

const route = getRouteApi('/jobs');

/** Scripts with a name, a version and how to run them. */
export function JobsPage() {
  const { t } = useText();
  const { search } = route.useSearch();
  const navigate = route.useNavigate();
  const jobs = useInfiniteQuery({ ...jobsQuery({ search }), placeholderData: keepPreviousData });
  return (
    <NameListPage
      title={t.jobs.title}
      query={jobs}
      rows={rowsOf(jobs.data)}
      columns={columns(t)}
      keyOf={(job) => job.job_id}
      search={{
        value: search,
        onChange: (text) => void navigate({ search: { search: text }, replace: true }),
      }}
      empty={<Empty title={t.jobs.emptyTitle} help={t.jobs.empty} command={JOB_COMMAND} />}
    />
  );
}

function columns(t: Messages): readonly Column<JobView>[] {
  return [
    {
      id: 'job',
      title: t.jobs.job,
      width: 'min(16rem, 60vw)',
      cell: (job) => (
        <Link to="/jobs/$jobId" params={{ jobId: job.job_id }} className="link">
          {job.job_id}
        </Link>
      ),
    },
    {
      id: 'version',
      title: t.jobs.version,
      width: '7rem',
      cell: (job) => <span className="mono">{job.version}</span>,
    },
    { id: 'description', title: t.jobs.description, from: 'md', cell: (job) => job.description },
    { id: 'by', title: t.jobs.by, width: '9rem', from: 'lg', cell: (job) => job.updated_by },
    {
      id: 'updated',
      title: t.jobs.updated,
      width: '9rem',
      from: 'sm',
      cell: (job) => <Time at={job.updated_at} />,
    },
  ];
}
