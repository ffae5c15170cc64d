import { Link } from '@tanstack/react-router';

import type { AgentView } from '@/api/types';
import { useText } from '@/i18n/text';
import { Facts, Section } from '@/ui/Facts';
import { Time } from '@/ui/Time';

/** Clocks that differ by less than this are right. */
const SKEW_MS = 2_000;

/** What is known of one PC. */
export function AgentFacts({ agent }: { agent: AgentView }) {
  const { t, format } = useText();
  const { hardware } = agent;
  const skew = agent.clock_skew_ms ?? 0;
  return (
    <div className="grid max-w-6xl gap-x-12 gap-y-6 p-4 md:p-6 xl:grid-cols-2">
      <Section title={t.agent.agentState}>
        <Facts
          rows={[
            [t.agents.host, agent.host_name ?? t.common.none],
            [t.agent.groups, <Groups key="groups" groups={agent.groups} />],
            [t.agent.agentState, t.agentState[agent.state ?? 'unknown']],
            [t.agent.agentVersion, <span className="mono">{agent.agent_version}</span>],
            [t.agent.heartbeat, <Time key="heartbeat" at={agent.heartbeat_at} />],
            [t.agent.enrolled, <Time key="enrolled" at={agent.enrolled_at} />],
            [t.agent.runningNow, format.number(agent.running)],
            [t.agent.outbox, format.number(agent.outbox_results)],
            [
              t.agent.memory,
              agent.agent_rss_bytes == null ? t.common.none : format.bytes(agent.agent_rss_bytes),
            ],
            [
              t.agent.skew,
              <span key="skew" className={Math.abs(skew) > SKEW_MS ? 'text-warn' : ''}>
                {format.duration(Math.abs(skew))}
              </span>,
            ],
          ]}
        />
      </Section>
      <Section
        title={t.agent.hardware}
        aside={
          hardware != null && (
            <span className="text-muted">
              {t.agent.collected} <Time at={hardware.collected_at} />
            </span>
          )
        }
      >
        {hardware == null ? (
          <p>{t.agent.noHardware}</p>
        ) : (
          <Facts
            rows={[
              [t.agent.system, agent.os ?? hardware.os_family],
              [t.agent.kernel, <span className="mono">{hardware.kernel}</span>],
              [t.agent.booted, <Time key="booted" at={agent.booted_at} />],
              [t.agent.arch, <span className="mono">{hardware.arch}</span>],
              [t.agent.cpu, `${hardware.cpu_model ?? ''} · ${t.agent.cpus(hardware.cpu_count)}`],
              [t.agent.ram, format.bytes(hardware.ram_bytes)],
              [
                t.agent.disks,
                <ul key="disks">
                  {hardware.disks?.map((disk) => (
                    <li key={disk.mounted_at}>
                      <span className="mono">{disk.mounted_at}</span>{' '}
                      {t.agent.free(format.bytes(disk.free_bytes), format.bytes(disk.size_bytes))}
                    </li>
                  ))}
                </ul>,
              ],
              [
                t.agent.networks,
                <ul key="networks">
                  {hardware.networks?.map((network) => (
                    <li key={network.name} className="mono flex flex-wrap gap-x-3">
                      <span>{network.name}</span>
                      <span className="text-muted">{network.mac}</span>
                      {network.addresses?.map((address) => (
                        <span key={address}>{address}</span>
                      ))}
                    </li>
                  ))}
                </ul>,
              ],
            ]}
          />
        )}
      </Section>
    </div>
  );
}

function Groups({ groups }: { groups: readonly string[] }) {
  const { t } = useText();
  if (groups.length === 0) return <span className="text-muted">{t.agent.noGroups}</span>;
  return (
    <span className="flex flex-wrap gap-x-2">
      {groups.map((group) => (
        <Link key={group} to="/agents" search={{ group }} className="link">
          {group}
        </Link>
      ))}
    </span>
  );
}
