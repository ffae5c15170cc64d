import './index.css';

import { QueryCache, QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';

import { ApiError, toApiError, UNREACHABLE } from '@/api/errors';
import { sessionQuery, signIn } from '@/api/session';
import { signInFailure } from '@/app/signInFailure';
import { router } from '@/app/router';
import { loadMessages, preferredLanguage, TextProvider } from '@/i18n/text';
import { followTheme } from '@/lib/theme';

const RETRIES = 3;
const RELOAD_AT_MOST_MS = 60_000;

followTheme();
reloadAfterUpdate();

const client = new QueryClient({
  queryCache: new QueryCache({
    onError: (error, query) => {
      // A session that has ended is found out by whatever asks next.
      if (!(error instanceof ApiError) || error.status !== 401) return;
      if (query.queryKey[0] !== sessionQuery.queryKey[0]) {
        void client.resetQueries({ queryKey: sessionQuery.queryKey });
      }
    },
  }),
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      // What the backend refused it refuses again; only silence is worth another try.
      retry: (failures, error) => toApiError(error).code === UNREACHABLE && failures < RETRIES,
    },
  },
});

/** Trades the code of a sign-in link for a session, and takes it out of the address. */
async function tradeCode(): Promise<void> {
  const address = new URL(location.href);
  const code = address.searchParams.get('signin');
  if (code === null) return;
  address.searchParams.delete('signin');
  history.replaceState(null, '', address);
  await signIn(code).catch((thrown: unknown) => {
    signInFailure.current = toApiError(thrown);
  });
}

/**
 * A chunk that is gone was of an older release: the page is loaded anew, but only once in a
 * while, since a backend that serves no chunks at all would make a circle of it.
 */
function reloadAfterUpdate(): void {
  const KEY = 'kanade.reloaded';
  addEventListener('vite:preloadError', (event) => {
    if (Date.now() - Number(sessionStorage.getItem(KEY)) < RELOAD_AT_MOST_MS) return;
    event.preventDefault();
    sessionStorage.setItem(KEY, String(Date.now()));
    location.reload();
  });
}

async function start(): Promise<void> {
  const root = document.getElementById('root');
  if (root === null) throw new Error('the page has no root');
  const language = preferredLanguage();
  const [messages] = await Promise.all([loadMessages(language), tradeCode()]);
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={client}>
        <TextProvider language={language} messages={messages}>
          <RouterProvider router={router} />
        </TextProvider>
      </QueryClientProvider>
    </StrictMode>,
  );
}

void start();
