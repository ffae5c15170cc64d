import type { ExecView } from '@/api/types';
import type { Messages } from '@/i18n/en';
import { notOkCount } from '@/parts/states';

/** Why an exec can't be stopped now; nothing when it can. */
export function stopBlocked(exec: ExecView, t: Messages): string | undefined {
  return exec.state === 'ended' ? t.exec.nothingToStop : undefined;
}

/** Why an exec can't be retried now; nothing when it can. */
export function retryBlocked(exec: ExecView, t: Messages): string | undefined {
  return notOkCount(exec.counts) === 0 ? t.exec.nothingToRetry : undefined;
}

/** PCs that a stop meets: those that have not ended. */
export function unended(exec: ExecView): { notStarted: number; running: number } {
  const { pending, admitted, running } = exec.counts;
  return { notStarted: pending + admitted, running };
}
