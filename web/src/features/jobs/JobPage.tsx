import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { Suspense } from 'react';

import { toApiError } from '@/api/errors';
import { jobQuery } from '@/api/jobs';
import type { JobView } from '@/api/types';
import { useText } from '@/i18n/text';
import { ExecList } from '@/parts/ExecList';
import { buttonClass } from '@/ui/Button';
import { Command, CopyButton } from '@/ui/Command';
import { Facts } from '@/ui/Facts';
import { Page } from '@/ui/Page';
import { Failed, Loading } from '@/ui/States';
import { Tabs } from '@/ui/Tabs';
import { Time } from '@/ui/Time';

const route = getRouteApi('/jobs/$jobId');
const TABS = ['source', 'history'] as const;
const EXECS = 50;

/** One job: its source, byte for byte, and its execs. */
export function JobPage() {
  const { t } = useText();
  const { jobId } = route.useParams();
  const { tab = 'source' } = route.useSearch();
  const job = useQuery(jobQuery(jobId));
  return (
    <Page
      title={jobId}
      note={job.data !== undefined && <span className="mono text-muted">{job.data.version}</span>}
      actions={
        <Link to="/run" search={{ job: jobId }} className={buttonClass('main')}>
          {t.jobs.run}
        </Link>
      }
      bar={<Tabs tabs={TABS} current={tab} names={t.jobs} />}
    >
      {job.data === undefined ? (
        job.error === null ? (
          <Loading />
        ) : (
          <Failed failure={toApiError(job.error)} onRetry={() => void job.refetch()} />
        )
      ) : tab === 'source' ? (
        <Source job={job.data} />
      ) : (
        <div className="max-w-5xl p-4 md:p-6">
          <Suspense fallback={<Loading />}>
            <ExecList filter={{ job_id: jobId }} most={EXECS} empty={<NoExecs jobId={jobId} />} />
          </Suspense>
        </div>
      )}
    </Page>
  );
}

function NoExecs({ jobId }: { jobId: string }) {
  const { t } = useText();
  return (
    <div className="flex max-w-2xl flex-col gap-2">
      <p>{t.jobs.noExecs}</p>
      <Command text={`kanade exec ${jobId} -t all --wait`} />
    </div>
  );
}

function Source({ job }: { job: JobView }) {
  const { t, format } = useText();
  const run = job.job?.run;
  return (
    <div className="flex max-w-5xl flex-col gap-5 p-4 md:p-6">
      {job.description != null && <p>{job.description}</p>}
      <Facts
        rows={[
          [
            t.jobs.updated,
            <span key="updated">
              <Time at={job.updated_at} />{' '}
              <span className="text-muted">{t.exec.by(job.updated_by)}</span>
            </span>,
          ],
          [t.jobs.revision, format.number(job.revision)],
          ...(run === undefined
            ? []
            : ([
                [t.run.shell, <span className="mono">{run.shell}</span>],
                [t.jobs.timeout, <span className="mono">{run.timeout ?? '10m'}</span>],
                [t.jobs.tries, format.number(run.tries ?? 1)],
                [t.jobs.runAs, <span className="mono">{run.runAs ?? 'system'}</span>],
              ] as const)),
        ]}
      />
      <div className="border-line bg-raised relative rounded border">
        <div className="bg-raised absolute top-1 right-1 rounded">
          <CopyButton text={job.yaml ?? ''} />
        </div>
        <pre
          tabIndex={0}
          role="group"
          aria-label={t.jobs.source}
          className="mono overflow-x-auto px-3 py-2 pr-10"
        >
          {job.yaml}
        </pre>
      </div>
    </div>
  );
}
