import { queryOptions } from '@tanstack/react-query';

import { api, ask } from './client';
import { PAGE_ROWS, pagedQuery } from './pages';
import type { ExecPreview, ExecRequest, ExecView, QueryOf, ResultView, TargetView } from './types';

export type ExecFilter = Omit<QueryOf<'exec_list'>, 'limit' | 'cursor'>;
export type TargetFilter = Omit<QueryOf<'target_list'>, 'limit' | 'cursor'>;

const EXECS_ROWS = 100;

export const execsQuery = (filter: ExecFilter, limit = EXECS_ROWS) =>
  pagedQuery<ExecView>(['execs', filter, limit], (cursor, signal) =>
    ask(api.GET('/api/v1/execs', { params: { query: { ...filter, cursor, limit } }, signal })),
  );

export const execQuery = (execId: string) =>
  queryOptions({
    queryKey: ['exec', execId],
    queryFn: ({ signal }) =>
      ask(api.GET('/api/v1/execs/{exec_id}', { params: { path: { exec_id: execId } }, signal })),
  });

export const targetsQuery = (execId: string, filter: TargetFilter) =>
  pagedQuery<TargetView>(['targets', execId, filter], (cursor, signal) => {
    const query = { ...filter, cursor, limit: PAGE_ROWS };
    const params = { path: { exec_id: execId }, query };
    return ask(api.GET('/api/v1/execs/{exec_id}/targets', { params, signal }));
  });

/** Results of one exec, in the order they came. */
export const execResultsQuery = (execId: string) =>
  pagedQuery<ResultView>(['results', { exec_id: execId }], (cursor, signal) => {
    const query = { exec_id: execId, sort: 'stored_at', cursor, limit: PAGE_ROWS };
    return ask(api.GET('/api/v1/results', { params: { query }, signal }));
  });

/** What ran on one PC, newest first. */
export const pcResultsQuery = (pcId: string) =>
  pagedQuery<ResultView>(['results', { pc_id: pcId }], (cursor, signal) => {
    const query = { pc_id: pcId, cursor, limit: EXECS_ROWS };
    return ask(api.GET('/api/v1/results', { params: { query }, signal }));
  });

/** Whom a request would hit, and a token that stands for exactly those. */
export async function preview(request: ExecRequest, signal: AbortSignal): Promise<ExecPreview> {
  const params = { query: { dry_run: true } };
  const answer = await ask(api.POST('/api/v1/execs', { params, body: request, signal }));
  if (!('token' in answer)) throw new Error('the answer to a dry run is no preview');
  return answer;
}

/** Issues an exec; the same `key` never issues a second one. */
export async function issue(request: ExecRequest, key: string): Promise<ExecView> {
  const params = { header: { 'Idempotency-Key': key } };
  const answer = await ask(api.POST('/api/v1/execs', { params, body: request }));
  if (!('exec_id' in answer)) throw new Error('the answer to a request is no exec');
  return answer;
}

/** Withdraws or kills an exec. */
export function stopExec(execId: string, action: 'withdraw' | 'kill', reason: string | undefined) {
  const params = { path: { exec_id: execId } };
  return ask(api.POST('/api/v1/execs/{exec_id}/stop', { params, body: { action, reason } }));
}

/** Runs an exec again where it did not end with `ok`. */
export function retryExec(execId: string, key: string, reason: string | undefined) {
  const params = { path: { exec_id: execId }, header: { 'Idempotency-Key': key } };
  const body = { outcomes: [], reason };
  return ask(api.POST('/api/v1/execs/{exec_id}/retry', { params, body }));
}

/** One page of what a run wrote. */
export function outputPage(
  requestId: string,
  stream: 'stdout' | 'stderr',
  offset: number,
  signal?: AbortSignal,
) {
  const params = { path: { request_id: requestId }, query: { stream, offset } };
  return ask(api.GET('/api/v1/results/{request_id}/output', { params, signal }));
}

/** Asks the PC for what a run has written so far; it comes as live changes. */
export async function askTail(requestId: string): Promise<void> {
  const params = { path: { request_id: requestId } };
  const { error } = await api.POST('/api/v1/results/{request_id}/tail', { params });
  if (error !== undefined) throw new Error(error.title);
}

/** The first few execs whose ids begin with `prefix`. */
export const execsFoundQuery = (prefix: string, limit: number) =>
  queryOptions({
    queryKey: ['execs-found', prefix, limit],
    queryFn: ({ signal }) =>
      ask(api.GET('/api/v1/execs', { params: { query: { prefix, limit } }, signal })),
  });
