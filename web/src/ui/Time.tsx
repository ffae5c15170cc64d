import { useText } from '@/i18n/text';
import { useNow } from '@/lib/now';

const FRESH_MS = 90_000;
const STEP_MS = 15_000;

/** A time as people say it, with the exact one on hover. */
export function Time({ at }: { at: string | null | undefined }) {
  const { t, format } = useText();
  const date = at === null || at === undefined ? undefined : new Date(at);
  const slow = useNow(STEP_MS);
  const fresh = date !== undefined && Math.abs(slow.getTime() - date.getTime()) < FRESH_MS;
  const fast = useNow(fresh ? 1_000 : STEP_MS);
  const now = fresh ? fast : slow;
  if (date === undefined) return <span className="text-muted">{t.common.none}</span>;
  // Clocks of two machines differ; nothing has happened in the future for that.
  const shown = fresh && date > now ? now : date;
  return (
    <time dateTime={date.toISOString()} title={format.dateTime(date)} className="whitespace-nowrap">
      {format.relative(shown, now)}
    </time>
  );
}
