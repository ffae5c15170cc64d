import { queryOptions } from '@tanstack/react-query';

import { api, ask, askJson } from './client';
import { PAGE_ROWS, pagedQuery } from './pages';
import type { AuditRow, DeadLetterView, GapView } from './types';

const EVERY_MS = 5_000;

/** The backend as it is now, asked again every few seconds while the tab is visible. */
export const systemQuery = queryOptions({
  queryKey: ['system'],
  queryFn: ({ signal }) => ask(api.GET('/api/v1/system', { signal })),
  refetchInterval: EVERY_MS,
  retry: false,
});

/** What a reconcile of the broker would do. */
export const planQuery = queryOptions({
  queryKey: ['plan'],
  queryFn: ({ signal }) => askJson(api.GET('/api/v1/bootstrap', { signal })),
});

export const deadLettersQuery = pagedQuery<DeadLetterView>(['dead-letters'], (cursor, signal) =>
  ask(api.GET('/api/v1/dead-letters', { params: { query: { cursor, limit: PAGE_ROWS } }, signal })),
);

export const gapsQuery = pagedQuery<GapView>(['gaps'], (cursor, signal) =>
  ask(api.GET('/api/v1/gaps', { params: { query: { cursor, limit: PAGE_ROWS } }, signal })),
);

export const auditQuery = pagedQuery<AuditRow>(['audit'], (cursor, signal) =>
  ask(api.GET('/api/v1/audit', { params: { query: { cursor, limit: 100 } }, signal })),
);
