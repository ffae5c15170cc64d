import { useId } from 'react';

import { useText } from '@/i18n/text';

/** The little *why* beside a state: opens the reason in place, by mouse and keyboard. */
export function Why({ text }: { text: string }) {
  const { t } = useText();
  const id = useId();
  return (
    <>
      <button
        type="button"
        popoverTarget={id}
        className="link rounded px-0.5 text-xs underline decoration-dotted"
      >
        {t.common.why}
      </button>
      <span
        id={id}
        popover="auto"
        className="border-line bg-bg text-text below max-w-md rounded border p-3 whitespace-normal shadow-xl"
      >
        {text}
      </span>
    </>
  );
}
