import { useState } from 'react';

import { useText } from '@/i18n/text';
import { copyText } from '@/lib/copy';

import { Icon } from './Icon';

const SHOWN_MS = 1_500;

/** Copies a text, and says that it did. */
export function CopyButton({ text, label }: { text: string; label?: string }) {
  const { t } = useText();
  const [copied, setCopied] = useState(false);
  const name = label ?? t.common.copy;
  const copy = async () => {
    if (!(await copyText(text))) return;
    setCopied(true);
    setTimeout(() => setCopied(false), SHOWN_MS);
  };
  return (
    <button
      type="button"
      onClick={() => void copy()}
      className="text-muted hover:bg-hover hover:text-text inline-flex min-h-7 items-center gap-1 rounded px-1.5"
      title={name}
    >
      <Icon name={copied ? 'check' : 'copy'} />
      <span className={copied ? 'text-ok' : 'sr-only'} aria-live="polite">
        {copied ? t.common.copied : name}
      </span>
    </button>
  );
}

/** A command for a terminal, to be copied. */
export function Command({ text }: { text: string }) {
  return (
    <div className="border-line bg-raised flex items-center gap-2 rounded border py-1 pr-1 pl-3">
      <code className="mono min-w-0 grow py-1 break-words whitespace-pre-wrap">{text}</code>
      <CopyButton text={text} />
    </div>
  );
}
