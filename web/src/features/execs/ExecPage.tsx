import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { useState } from 'react';

import { toApiError } from '@/api/errors';
import { execQuery } from '@/api/execs';
import type { ExecView, Outcome } from '@/api/types';
import { useText } from '@/i18n/text';
import { ProgressBar } from '@/parts/ExecProgress';
import { ExecStatus } from '@/parts/ExecStatus';
import { OutcomeStatus } from '@/parts/states';
import { targetsText } from '@/parts/targetsText';
import { Page } from '@/ui/Page';
import { Failed, Loading } from '@/ui/States';
import { Status } from '@/ui/Status';
import { Tabs } from '@/ui/Tabs';
import { Time } from '@/ui/Time';

import { Actions } from './Actions';
import { DetailsTab } from './DetailsTab';
import { PcsTab } from './PcsTab';
import { ResultsTab } from './ResultsTab';
import { useExecLive } from './useExecLive';

const route = getRouteApi('/execs/$execId');
const TABS = ['results', 'pcs', 'details'] as const;

/** One exec: how far it is, what the PCs say, and the brake. */
export function ExecPage() {
  const { t } = useText();
  const { execId } = route.useParams();
  const { tab = 'results' } = route.useSearch();
  const exec = useQuery(execQuery(execId));
  useExecLive(execId);
  const [told, setTold] = useState<string>();
  if (exec.data === undefined) {
    return (
      <Page title={<span className="mono !text-base">{execId.slice(0, 12)}</span>}>
        {exec.error === null ? (
          <Loading />
        ) : (
          <Failed failure={toApiError(exec.error)} onRetry={() => void exec.refetch()} />
        )}
      </Page>
    );
  }
  const { data } = exec;
  return (
    <Page
      title={
        data.job_id == null ? (
          <span className="mono !text-base">{data.title}</span>
        ) : (
          <>
            {data.job_id} <span className="mono text-muted !text-base">{data.job_version}</span>
          </>
        )
      }
      note={<ExecStatus exec={data} />}
      actions={<Actions exec={data} onTold={setTold} />}
      fills={tab === 'pcs'}
      bar={
        <>
          <Summary exec={data} />
          {told !== undefined && (
            <p role="status" className="bg-accent-soft rounded px-3 py-1.5">
              {told}
            </p>
          )}
          <Tabs tabs={TABS} current={tab} names={t.exec.tabs} />
        </>
      }
    >
      {tab === 'results' ? (
        <ResultsTab exec={data} />
      ) : tab === 'pcs' ? (
        <PcsTab exec={data} />
      ) : (
        <DetailsTab exec={data} />
      )}
    </Page>
  );
}

/** Progress in a bar and in words that lead to the PCs meant. */
function Summary({ exec }: { exec: ExecView }) {
  const { t, format } = useText();
  const { counts } = exec;
  const states = [
    ['pending', counts.pending, 'idle', 'clock'],
    ['admitted', counts.admitted, 'idle', 'clock'],
    ['running', counts.running, 'busy', 'play'],
  ] as const;
  const outcomes = Object.entries(counts.ended) as [Outcome, number][];
  const link = 'inline-flex gap-1 hover:underline';
  return (
    <div className="flex flex-col gap-1.5">
      <p className="text-muted">
        {targetsText(exec.targets, t, format)} · <Time at={exec.issued_at} /> ·{' '}
        {t.exec.by(exec.issued_by)}
        {exec.state === 'running' && (
          <>
            {' · '}
            {t.exec.deadline} {format.dateTime(new Date(exec.deadline))}
          </>
        )}
      </p>
      <ProgressBar counts={counts} className="w-full" />
      <ul className="flex flex-wrap gap-x-4" aria-label={t.execs.progress}>
        {outcomes.map(([outcome, count]) => (
          <li key={outcome}>
            <Link to="." search={{ tab: 'pcs', outcome: known(outcome) }} className={link}>
              <span className="mono">{format.number(count)}</span>
              <OutcomeStatus outcome={outcome} />
            </Link>
          </li>
        ))}
        {states.map(([state, count, tone, shape]) =>
          count === 0 ? null : (
            <li key={state}>
              <Link to="." search={{ tab: 'pcs', state }} className={link}>
                <span className="mono">{format.number(count)}</span>
                <Status tone={tone} shape={shape}>
                  {t.targetState[state]}
                </Status>
              </Link>
            </li>
          ),
        )}
      </ul>
    </div>
  );
}

/** The API can't filter by an outcome that it doesn't know. */
function known(outcome: Outcome): Exclude<Outcome, 'unknown'> | undefined {
  return outcome === 'unknown' ? undefined : outcome;
}
