import { queryOptions } from '@tanstack/react-query';

import { api, ask, askJson } from './client';
import { PAGE_ROWS, pagedQuery } from './pages';
import type { JobView, QueryOf } from './types';

export type JobFilter = Omit<QueryOf<'job_list'>, 'limit' | 'cursor'>;

export const jobsQuery = (filter: JobFilter) =>
  pagedQuery<JobView>(['jobs', filter], (cursor, signal) => {
    const query = { ...filter, cursor, limit: PAGE_ROWS };
    return ask(api.GET('/api/v1/jobs', { params: { query }, signal }));
  });

export const jobQuery = (jobId: string) =>
  queryOptions({
    queryKey: ['job', jobId],
    queryFn: ({ signal }) =>
      askJson(api.GET('/api/v1/jobs/{job_id}', { params: { path: { job_id: jobId } }, signal })),
  });

/** The first jobs by name, or those whose names contain `search`. */
export const jobsFoundQuery = (search: string, limit: number) =>
  queryOptions({
    queryKey: ['jobs-found', search, limit],
    queryFn: ({ signal }) => {
      const query = search === '' ? { limit } : { search, limit };
      return ask(api.GET('/api/v1/jobs', { params: { query }, signal }));
    },
  });
