import { Link } from '@tanstack/react-router';

import type { AgentView } from '@/api/types';
import type { Messages } from '@/i18n/en';
import type { Format } from '@/i18n/format';
import { PresenceStatus } from '@/parts/states';
import type { Column } from '@/ui/DataTable';
import { Status } from '@/ui/Status';
import { Time } from '@/ui/Time';

/** The columns of the list of agents. */
export function agentColumns(t: Messages, format: Format): readonly Column<AgentView>[] {
  return [
    {
      id: 'pc',
      title: t.agents.pc,
      sort: 'pc_id',
      cell: (agent) => (
        <Link to="/agents/$pcId" params={{ pcId: agent.pc_id }} className="link">
          {agent.pc_id}
        </Link>
      ),
    },
    {
      id: 'presence',
      title: t.agents.presence,
      width: '8rem',
      cell: (agent) =>
        agent.blocked == null ? (
          <PresenceStatus presence={agent.presence} />
        ) : (
          <span title={agent.blocked}>
            <Status tone="warn" shape="bar">
              {t.agent.blocked}
            </Status>
          </span>
        ),
    },
    {
      id: 'since',
      title: t.agents.since,
      width: '8rem',
      sort: 'since',
      from: 'sm',
      cell: (agent) => <Time at={agent.since} />,
    },
    {
      id: 'os',
      title: t.agents.os,
      width: '13rem',
      from: 'md',
      cell: (agent) => agent.os ?? agent.os_family ?? t.common.none,
    },
    {
      id: 'groups',
      title: t.agents.groups,
      width: '12rem',
      from: 'lg',
      cell: (agent) => agent.groups.join(', '),
    },
    {
      id: 'heartbeat',
      title: t.agents.heartbeat,
      width: '10rem',
      sort: 'heartbeat_at',
      from: 'xl',
      cell: (agent) => <Time at={agent.heartbeat_at} />,
    },
    {
      id: 'running',
      title: t.agents.running,
      width: '5rem',
      from: 'lg',
      number: true,
      cell: (agent) => format.number(agent.running),
    },
    {
      id: 'version',
      title: t.agents.version,
      width: '7rem',
      from: 'xl',
      cell: (agent) => <span className="mono">{agent.agent_version}</span>,
    },
  ];
}
