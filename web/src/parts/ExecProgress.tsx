import type { Counts } from '@/api/types';
import { useText } from '@/i18n/text';

import { endedAs, endedCount } from './states';

/** Targets by state as one bar; the words beside it say the same. */
export function ProgressBar({ counts, className = '' }: { counts: Counts; className?: string }) {
  const parts = [
    ['bg-ok-fill', endedAs(counts, 'ok')],
    ['bg-bad-fill', endedAs(counts, 'bad')],
    ['bg-warn-fill', endedAs(counts, 'warn')],
    ['bg-strong-line', endedAs(counts, 'idle')],
    ['bg-accent', counts.running],
  ] as const;
  return (
    <span
      aria-hidden="true"
      className={`bg-idle-fill inline-flex h-1.5 overflow-hidden rounded-full ${className}`}
    >
      {parts.map(([color, count]) => (
        <span
          key={color}
          className={`${color} h-full transition-[width]`}
          style={{ width: `${(100 * count) / Math.max(1, counts.targets)}%` }}
        />
      ))}
    </span>
  );
}

/** How far an exec is, for a row of a list. */
export function ExecProgress({ counts }: { counts: Counts }) {
  const { t } = useText();
  return (
    <span className="flex items-center gap-2">
      <ProgressBar counts={counts} className="w-16 shrink-0" />
      <span className="mono truncate">{t.execs.of(endedCount(counts), counts.targets)}</span>
    </span>
  );
}
