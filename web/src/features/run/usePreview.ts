import { keepPreviousData, useQuery } from '@tanstack/react-query';

import { preview } from '@/api/execs';
import type { ExecPreview, ExecRequest } from '@/api/types';
import { useDebounced } from '@/lib/useDebounced';

const TYPING_MS = 300;
/** A token is good for 15 minutes. */
const EVERY_MS = 10 * 60_000;

/** Whom the request would hit, by a dry run of it. */
export interface PreviewState {
  /** Of this very request; absent while it is being counted. */
  data: ExecPreview | undefined;
  /** The newest there is, for the eye. */
  shown: ExecPreview | undefined;
  error: Error | null;
  refetch: () => unknown;
}

/** Counts anew a moment after the request changed. */
export function usePreview(request: ExecRequest | undefined): PreviewState {
  const now = request === undefined ? '' : JSON.stringify(request);
  const settled = useDebounced(now, TYPING_MS);
  const query = useQuery({
    queryKey: ['preview', settled],
    queryFn: ({ signal }) => preview(JSON.parse(settled) as ExecRequest, signal),
    enabled: settled !== '',
    placeholderData: keepPreviousData,
    refetchInterval: EVERY_MS,
    staleTime: 0,
    gcTime: 0,
    retry: false,
  });
  const current = now === settled && !query.isPlaceholderData && now !== '';
  return {
    data: current && query.error === null ? query.data : undefined,
    shown: now === '' ? undefined : query.data,
    error: current ? query.error : null,
    refetch: () => query.refetch(),
  };
}
