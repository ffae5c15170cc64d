import {
  keepPreviousData,
  useInfiniteQuery,
  useQuery,
  useQueryClient,
} from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { useState } from 'react';

import { agentMatches, agentsQuery } from '@/api/agents';
import { toApiError } from '@/api/errors';
import { groupNamesQuery } from '@/api/groups';
import { rowsOf } from '@/api/pages';
import { useLiveRows } from '@/api/rows';
import type { AgentView } from '@/api/types';
import { useReadAhead } from '@/api/useReadAhead';
import { useText } from '@/i18n/text';
import { JOIN_COMMAND } from '@/parts/commands';
import { Button, buttonClass } from '@/ui/Button';
import { DataTable } from '@/ui/DataTable';
import { FilterChip, SearchBox } from '@/ui/Filters';
import { Page } from '@/ui/Page';
import { useColumns } from '@/ui/useColumns';
import { Empty, Failed, Loading } from '@/ui/States';

import { agentColumns } from './columns';

const route = getRouteApi('/agents');
/** Rows that are read without being asked for, so that the scroll bar is true. */
const AHEAD_ROWS = 20_000;
const OS_FAMILIES = [
  { value: 'linux', label: 'Linux' },
  { value: 'windows', label: 'Windows' },
  { value: 'macos', label: 'macOS' },
] as const;

/** Every PC of the fleet. */
export function AgentsPage() {
  const { t, format } = useText();
  const client = useQueryClient();
  const filter = route.useSearch();
  const navigate = route.useNavigate();
  const query = agentsQuery(filter);
  const agents = useInfiniteQuery({ ...query, placeholderData: keepPreviousData });
  useReadAhead(agents, AHEAD_ROWS);
  const arrivals = useLiveRows<AgentView>({
    topic: 'agents',
    queryKey: query.queryKey,
    keyOf: (agent) => agent.pc_id,
    rowIn: (event) => (event.kind === 'agent' ? event.agent : undefined),
    belongs: (agent) => !agents.hasNextPage && agentMatches(agent, filter),
  });
  const rows = rowsOf(agents.data);
  const { shown, choice } = useColumns('agents', agentColumns(t, format));
  const set = (part: Partial<typeof filter>) =>
    void navigate({ search: { ...filter, ...part }, replace: true });
  const filtered = Object.values({ ...filter, sort: undefined }).some((one) => one !== undefined);
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());

  return (
    <Page
      title={t.agents.title}
      note={
        agents.data !== undefined && (
          <span className="mono text-muted">
            {format.number(rows.length)}
            {agents.hasNextPage && '+'}
          </span>
        )
      }
      fills
      actions={
        selected.size > 0 && (
          <SelectionBar selected={[...selected]} onClear={() => setSelected(new Set())} />
        )
      }
      bar={
        <div className="flex flex-wrap gap-2">
          <SearchBox
            value={filter.search}
            placeholder={t.agents.searchPlaceholder}
            onChange={(search) => set({ search })}
          />
          <FilterChip
            name={t.agents.presence}
            value={filter.presence}
            options={[
              { value: 'online', label: t.presence.online },
              { value: 'offline', label: t.presence.offline },
            ]}
            onChange={(presence) => set({ presence })}
          />
          <GroupChip value={filter.group} onChange={(group) => set({ group })} />
          <FilterChip
            name={t.agents.osFamily}
            value={filter.os_family}
            options={OS_FAMILIES}
            onChange={(os_family) => set({ os_family })}
          />
          {filtered && (
            <Button kind="quiet" onClick={() => void navigate({ search: { sort: filter.sort } })}>
              {t.common.clearFilters}
            </Button>
          )}
          <span className="ml-auto flex items-center gap-3">
            <span className="text-muted text-xs max-lg:hidden">{t.common.keys}</span>
            {choice}
          </span>
        </div>
      }
    >
      {agents.data === undefined ? (
        agents.error !== null ? (
          <Failed failure={toApiError(agents.error)} onRetry={() => void agents.refetch()} />
        ) : (
          <Loading />
        )
      ) : rows.length === 0 && !filtered ? (
        <Empty title={t.agents.emptyTitle} help={t.agents.empty} command={JOIN_COMMAND} />
      ) : rows.length === 0 ? (
        <p className="text-muted p-4 md:px-6">{t.common.noMatch}</p>
      ) : (
        <DataTable
          key={JSON.stringify(filter)}
          name={t.agents.title}
          columns={shown}
          rows={rows}
          keyOf={(agent) => agent.pc_id}
          sort={filter.sort ?? 'pc_id'}
          onSort={(sort) => set({ sort: sort as typeof filter.sort })}
          selected={selected}
          onSelect={setSelected}
          hasMore={agents.hasNextPage}
          onMore={() => {
            if (!agents.isFetching) void agents.fetchNextPage();
          }}
          arrivals={arrivals.rows.length}
          onArrivals={() => {
            arrivals.clear();
            void client.invalidateQueries({ queryKey: query.queryKey });
          }}
        />
      )}
    </Page>
  );
}

function SelectionBar({ selected, onClear }: { selected: string[]; onClear: () => void }) {
  const { t } = useText();
  return (
    <div className="flex flex-wrap items-center gap-2">
      <span className="text-muted">{t.common.selected(selected.length)}</span>
      <Link to="/run" search={{ pcs: selected.join(',') }} className={buttonClass('main')}>
        {t.agents.runOn(selected.length)}
      </Link>
      <Button onClick={onClear}>{t.common.clearSelection}</Button>
    </div>
  );
}

function GroupChip(props: {
  value: string | undefined;
  onChange: (value: string | undefined) => void;
}) {
  const { t } = useText();
  const groups = useQuery(groupNamesQuery);
  const names = groups.data?.items.map((group) => group.group_id) ?? [];
  const all =
    props.value === undefined || names.includes(props.value) ? names : [props.value, ...names];
  return (
    <FilterChip
      name={t.agents.group}
      value={props.value}
      options={all.map((name) => ({ value: name, label: name }))}
      onChange={props.onChange}
    />
  );
}
