import { queryOptions } from '@tanstack/react-query';

import { api, ask } from './client';
import { PAGE_ROWS, pagedQuery } from './pages';
import type { AgentView, QueryOf } from './types';

/** Filters and order of the list of agents. */
export type AgentFilter = Omit<QueryOf<'agent_list'>, 'limit' | 'cursor'>;

export const agentsQuery = (filter: AgentFilter) =>
  pagedQuery<AgentView>(['agents', filter], (cursor, signal) => {
    const query = { ...filter, cursor, limit: PAGE_ROWS };
    return ask(api.GET('/api/v1/agents', { params: { query }, signal }));
  });

/** The first few PCs whose ids contain `search`. */
export const agentsFoundQuery = (search: string, limit: number) =>
  queryOptions({
    queryKey: ['agents-found', search, limit],
    queryFn: ({ signal }) =>
      ask(api.GET('/api/v1/agents', { params: { query: { search, limit } }, signal })),
  });

export const agentQuery = (pcId: string) =>
  queryOptions({
    queryKey: ['agent', pcId],
    queryFn: ({ signal }) =>
      ask(api.GET('/api/v1/agents/{pc_id}', { params: { path: { pc_id: pcId } }, signal })),
  });

const QUEUE_EVERY_MS = 5_000;

/** What waits for a PC or runs on it; asked again every few seconds, since no topic tells. */
export const queueQuery = (pcId: string) =>
  queryOptions({
    queryKey: ['queue', pcId],
    queryFn: ({ signal }) =>
      ask(api.GET('/api/v1/agents/{pc_id}/queue', { params: { path: { pc_id: pcId } }, signal })),
    refetchInterval: QUEUE_EVERY_MS,
  });

/** Whether a PC is one of those that a list shows. */
export function agentMatches(agent: AgentView, filter: AgentFilter): boolean {
  const { presence, group, os_family, search } = filter;
  return (
    (presence == null || agent.presence === presence) &&
    (group == null || agent.groups.includes(group)) &&
    (os_family == null || agent.os_family === os_family) &&
    (search == null || agent.pc_id.includes(search.toLowerCase()))
  );
}
