import { lazy, Suspense, useId, useState } from 'react';

import { useText } from '@/i18n/text';
import { Icon } from '@/ui/Icon';

const SettingsPanel = lazy(() =>
  import('./SettingsPanel').then((module) => ({ default: module.SettingsPanel })),
);

/** The button that opens the settings; what is in them is loaded when it is pressed. */
export function Settings({ operator }: { operator: string }) {
  const { t } = useText();
  const id = useId();
  const [opened, setOpened] = useState(false);
  return (
    <>
      <button
        type="button"
        popoverTarget={id}
        onClick={() => setOpened(true)}
        className="hover:bg-hover inline-flex min-h-8 items-center gap-1.5 rounded px-2"
      >
        <span className="max-w-32 truncate max-sm:hidden">{operator}</span>
        <Icon name="settings" />
        <span className="sr-only">{t.top.settings}</span>
      </button>
      <div
        id={id}
        popover="auto"
        className="border-line bg-bg text-text inset-auto top-12 right-3 w-64 rounded border p-3 shadow-xl"
      >
        {opened && (
          <Suspense>
            <SettingsPanel operator={operator} />
          </Suspense>
        )}
      </div>
    </>
  );
}
