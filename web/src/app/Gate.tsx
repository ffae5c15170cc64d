import { useQuery } from '@tanstack/react-query';
import { lazy, Suspense } from 'react';

import { toApiError } from '@/api/errors';
import { sessionQuery } from '@/api/session';
import { Failed, Loading } from '@/ui/States';

import { Shell } from './Shell';

const SignInPage = lazy(() =>
  import('./SignInPage').then((module) => ({ default: module.SignInPage })),
);

/** Lets those in who are signed in, and says to others how that goes. */
export function Gate() {
  const session = useQuery(sessionQuery);
  if (session.data !== undefined) return <Shell session={session.data} />;
  if (session.isPending) return <Loading />;
  const error = toApiError(session.error);
  if (error.status === 401) {
    return (
      <Suspense fallback={<Loading />}>
        <SignInPage />
      </Suspense>
    );
  }
  return (
    <main>
      <Failed failure={error} onRetry={() => void session.refetch()} />
    </main>
  );
}
