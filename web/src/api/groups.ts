import { queryOptions } from '@tanstack/react-query';

import { api, ask } from './client';
import { PAGE_ROWS, pagedQuery } from './pages';
import type { GroupView, QueryOf } from './types';

export type GroupFilter = Omit<QueryOf<'group_list'>, 'limit' | 'cursor'>;

export const groupsQuery = (filter: GroupFilter) =>
  pagedQuery<GroupView>(['groups', filter], (cursor, signal) => {
    const query = { ...filter, cursor, limit: PAGE_ROWS };
    return ask(api.GET('/api/v1/groups', { params: { query }, signal }));
  });

/** The first groups by name, for filters and pickers. */
export const groupNamesQuery = queryOptions({
  queryKey: ['group-names'],
  queryFn: ({ signal }) =>
    ask(api.GET('/api/v1/groups', { params: { query: { limit: PAGE_ROWS } }, signal })),
  staleTime: 30_000,
});

/** The first few groups whose names contain `search`. */
export const groupsFoundQuery = (search: string, limit: number) =>
  queryOptions({
    queryKey: ['groups-found', search, limit],
    queryFn: ({ signal }) =>
      ask(api.GET('/api/v1/groups', { params: { query: { search, limit } }, signal })),
  });
