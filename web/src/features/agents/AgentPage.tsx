import { useQuery, useQueryClient } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';

import { agentQuery } from '@/api/agents';
import { toApiError } from '@/api/errors';
import { useLive } from '@/api/live';
import type { AgentView } from '@/api/types';
import { useText } from '@/i18n/text';
import { PresenceStatus } from '@/parts/states';
import { buttonClass } from '@/ui/Button';
import { Page } from '@/ui/Page';
import { Failed, Loading } from '@/ui/States';
import { Tabs } from '@/ui/Tabs';
import { Time } from '@/ui/Time';

import { AgentFacts } from './AgentFacts';
import { AgentQueue } from './AgentQueue';
import { AgentRuns } from './AgentRuns';

const route = getRouteApi('/agents/$pcId');
const TABS = ['facts', 'runs', 'queue'] as const;

/** One PC: what it is, what ran on it, and what waits for it. */
export function AgentPage() {
  const { t } = useText();
  const { pcId } = route.useParams();
  const { tab = 'facts' } = route.useSearch();
  const agent = useQuery(agentQuery(pcId));
  useAgentLive(pcId);
  return (
    <Page
      title={pcId}
      note={agent.data !== undefined && <State agent={agent.data} />}
      actions={
        agent.data !== undefined && (
          <Link to="/run" search={{ pcs: pcId }} className={buttonClass('main')}>
            {t.agent.run}
          </Link>
        )
      }
      bar={<Tabs tabs={TABS} current={tab} names={t.agent.tabs} />}
      fills={tab !== 'facts'}
    >
      {agent.data === undefined ? (
        agent.error !== null ? (
          <Failed failure={toApiError(agent.error)} onRetry={() => void agent.refetch()} />
        ) : (
          <Loading />
        )
      ) : tab === 'facts' ? (
        <AgentFacts agent={agent.data} />
      ) : tab === 'runs' ? (
        <AgentRuns pcId={pcId} />
      ) : (
        <AgentQueue pcId={pcId} />
      )}
    </Page>
  );
}

/** Whether it can be reached, and why not. */
function State({ agent }: { agent: AgentView }) {
  return (
    <span className="flex flex-wrap items-baseline gap-x-2">
      <PresenceStatus presence={agent.presence} />
      <span className="text-muted">
        <Time at={agent.since} />
      </span>
      {agent.blocked != null && <span className="text-warn">{agent.blocked}</span>}
    </span>
  );
}

function useAgentLive(pcId: string) {
  const client = useQueryClient();
  const { queryKey } = agentQuery(pcId);
  useLive('agents', [queryKey], (events) => {
    for (const event of events) {
      if (event.kind !== 'agent' || event.agent.pc_id !== pcId) continue;
      // Changes leave the hardware out, which comes with the whole PC only.
      client.setQueryData(queryKey, (old) => old && { ...event.agent, hardware: old.hardware });
    }
  });
}
