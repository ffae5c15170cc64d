import type { ApiError } from '@/api/errors';

/** Why the link that opened this page did not sign anybody in. */
export const signInFailure: { current: ApiError | undefined } = { current: undefined };
