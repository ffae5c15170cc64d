import { useText } from '@/i18n/text';
import { Button } from '@/ui/Button';
import { Failed } from '@/ui/States';

/** A page that could not be shown at all; most often its chunk is one of an older release. */
export function Broken({ error }: { error: unknown }) {
  const { t } = useText();
  return (
    <div>
      <Failed
        failure={{ message: t.app.broken, help: t.app.brokenHelp, causes: [String(error)] }}
      />
      <p className="px-4">
        <Button onClick={() => location.reload()}>{t.app.reload}</Button>
      </p>
    </div>
  );
}
