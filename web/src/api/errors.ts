import type { Problem } from './types';

/** Why an answer did not come, or what it says went wrong; told apart by `code`. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly help: string | undefined;
  readonly causes: readonly string[];
  readonly field: string | undefined;

  constructor(problem: Problem) {
    super(problem.title);
    this.name = 'ApiError';
    this.status = problem.status;
    this.code = problem.code;
    this.help = problem.help ?? undefined;
    this.causes = problem.causes ?? [];
    this.field = problem.field ?? undefined;
  }
}

/** Code of an error that is ours: nothing answered. */
export const UNREACHABLE = 'backend.unreachable';

/** What was thrown, as an error of the API. */
export function toApiError(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown;
  const title = thrown instanceof Error ? thrown.message : String(thrown);
  return new ApiError({ status: 0, code: UNREACHABLE, title });
}

/** The error in an answer that is none of the good ones, whatever its body is. */
export function problemOf(body: unknown, response: Response): ApiError {
  if (isProblem(body)) return new ApiError(body);
  const title = `${response.status} ${response.statusText}`.trim();
  // Something between here and the backend answered, or the backend is going down.
  const code = response.status >= 500 ? UNREACHABLE : 'answer.unknown';
  return new ApiError({ status: response.status, code, title });
}

function isProblem(body: unknown): body is Problem {
  return typeof body === 'object' && body !== null && 'code' in body && 'title' in body;
}
