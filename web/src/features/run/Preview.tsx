import { toApiError } from '@/api/errors';
import { useText } from '@/i18n/text';
import { Section } from '@/ui/Facts';
import { Failed } from '@/ui/States';

import type { PreviewState } from './usePreview';

const NAMES = 12;

/** Whom it would hit: a count, and a few names. */
export function Preview({ preview, nobody }: { preview: PreviewState; nobody: boolean }) {
  const { t, format } = useText();
  const { shown, error } = preview;
  return (
    <Section title={t.run.whom}>
      <div role="status" className="flex flex-col gap-2">
        {nobody ? (
          <p>{t.run.nobody}</p>
        ) : error !== null ? (
          <div className="-m-4">
            <Failed failure={toApiError(error)} />
          </div>
        ) : shown === undefined ? (
          <p className="text-muted">{t.run.counting}</p>
        ) : (
          <div className={preview.data === undefined ? 'opacity-60' : ''}>
            <p className="text-base font-medium">{t.run.hits(shown.count, shown.offline)}</p>
            {shown.offline > 0 && (
              <p className="text-muted">
                {t.run.offlineNote(format.dateTime(new Date(shown.deadline)))}
              </p>
            )}
            <ul className="mono text-muted mt-2 flex flex-wrap gap-x-3">
              {shown.sample.slice(0, NAMES).map((pc) => (
                <li key={pc}>{pc}</li>
              ))}
            </ul>
            {shown.count > NAMES && (
              <p className="text-muted">{t.run.andMore(shown.count - NAMES)}</p>
            )}
          </div>
        )}
      </div>
    </Section>
  );
}
