import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Suspense } from 'react';

import { toApiError } from '@/api/errors';
import { systemQuery } from '@/api/system';
import type { SystemView } from '@/api/types';
import { useText } from '@/i18n/text';
import { ExecList } from '@/parts/ExecList';
import { JOIN_COMMAND, RUN_COMMAND } from '@/parts/commands';
import { LevelStatus } from '@/parts/states';
import { Command } from '@/ui/Command';
import { Section } from '@/ui/Facts';
import { Page } from '@/ui/Page';
import { Empty, Failed, Loading } from '@/ui/States';
import { Status } from '@/ui/Status';

const RUNNING_ROWS = 10;
const NEWEST_ROWS = 10;

/** The fleet at a glance: who is there, what runs, and whether all is well. */
export function OverviewPage() {
  const { t } = useText();
  const system = useQuery(systemQuery);
  return (
    <Page title={t.overview.title}>
      {system.data !== undefined ? (
        <Overview system={system.data} />
      ) : system.error !== null ? (
        <Failed failure={toApiError(system.error)} onRetry={() => void system.refetch()} />
      ) : (
        <Loading />
      )}
    </Page>
  );
}

function Overview({ system }: { system: SystemView }) {
  const { t } = useText();
  if (system.agents === 0) {
    return <Empty title={t.overview.emptyTitle} help={t.overview.empty} command={JOIN_COMMAND} />;
  }
  return (
    <div className="flex max-w-5xl flex-col gap-6 p-4 md:p-6">
      <div className="grid gap-6 md:grid-cols-2">
        <FleetPart system={system} />
        <HealthPart system={system} />
      </div>
      <Suspense fallback={<Loading />}>
        <Section title={t.overview.running}>
          <ExecList
            filter={{ state: 'running' }}
            most={RUNNING_ROWS}
            empty={<p>{t.overview.runningNone}</p>}
          />
        </Section>
        <Section
          title={t.overview.recent}
          aside={
            <Link to="/execs" className="link">
              {t.overview.allExecs}
            </Link>
          }
        >
          <ExecList
            filter={{}}
            most={NEWEST_ROWS}
            empty={
              <div className="flex max-w-2xl flex-col gap-2">
                <p>{t.execs.empty}</p>
                <Command text={RUN_COMMAND} />
              </div>
            }
          />
        </Section>
      </Suspense>
    </div>
  );
}

function FleetPart({ system }: { system: SystemView }) {
  const { t, format } = useText();
  const offline = system.agents - system.agents_online;
  return (
    <Section title={t.overview.fleet}>
      <div className="flex gap-8">
        <Link to="/agents" search={{ presence: 'online' }} className="hover:underline">
          <span className="mono block !text-2xl">{format.number(system.agents_online)}</span>
          <Status tone="ok" shape="disc">
            {t.overview.online}
          </Status>
        </Link>
        <Link to="/agents" search={{ presence: 'offline' }} className="hover:underline">
          <span className="mono block !text-2xl">{format.number(offline)}</span>
          <Status tone="idle" shape="ring">
            {t.overview.offline}
          </Status>
        </Link>
        <Link to="/execs" search={{ state: 'running' }} className="hover:underline">
          <span className="mono block !text-2xl">{format.number(system.execs_running)}</span>
          <Status tone="busy" shape="play">
            {t.execState.running}
          </Status>
        </Link>
      </div>
      <span aria-hidden="true" className="bg-idle-fill flex h-1.5 overflow-hidden rounded-full">
        <span
          className="bg-ok-fill h-full"
          style={{ width: `${(100 * system.agents_online) / Math.max(1, system.agents)}%` }}
        />
      </span>
    </Section>
  );
}

function HealthPart({ system }: { system: SystemView }) {
  const { t, format } = useText();
  const wrong = system.findings.filter((finding) => finding.level !== 'ok');
  const lag = system.streams.reduce((sum, stream) => sum + stream.lag, 0);
  return (
    <Section
      title={t.overview.health}
      aside={
        <Link to="/system" className="link">
          {t.nav.system}
        </Link>
      }
    >
      {wrong.length === 0 && (
        <p>
          <Status tone="ok" shape="check">
            {t.overview.healthy}
          </Status>
        </p>
      )}
      {wrong.map((finding) => (
        <p key={finding.code + finding.text} className="flex flex-wrap gap-x-3">
          <LevelStatus level={finding.level} />
          <span>{finding.text}</span>
        </p>
      ))}
      <p className="text-muted">
        <span className="mono">{format.number(lag)}</span> {t.overview.lag}
      </p>
    </Section>
  );
}
