import { queryOptions } from '@tanstack/react-query';

import { problemOf, toApiError } from './errors';

/** Who is signed in, and until when. */
export interface SessionView {
  operator: string;
  expires_at: string;
}

const PATH = '/api/v1/session';

async function request(init: RequestInit): Promise<Response> {
  const response = await fetch(PATH, { credentials: 'same-origin', ...init }).catch(
    (thrown: unknown) => {
      throw toApiError(thrown);
    },
  );
  if (response.ok) return response;
  throw problemOf(await response.json().catch(() => undefined), response);
}

/** The session; an error of status 401 when nobody is signed in. */
export const sessionQuery = queryOptions({
  queryKey: ['session'],
  queryFn: async ({ signal }) => (await request({ signal })).json() as Promise<SessionView>,
  retry: false,
  staleTime: 60_000,
  refetchOnWindowFocus: true,
});

/** Trades a one-time code for a session. */
export async function signIn(code: string): Promise<void> {
  const body = JSON.stringify({ code });
  await request({ method: 'POST', headers: { 'content-type': 'application/json' }, body });
}

/** Ends the session. */
export async function signOut(): Promise<void> {
  await request({ method: 'DELETE' });
}

/** The code in what somebody pasted: a sign-in link, or the code itself. */
export function codeIn(text: string): string {
  const trimmed = text.trim();
  const match = /[?&]signin=([^&#\s]+)/.exec(trimmed);
  return match?.[1] === undefined ? trimmed : decodeURIComponent(match[1]);
}
