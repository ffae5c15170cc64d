import type { ReactNode } from 'react';

import { useText } from '@/i18n/text';

/** A page: name, what is known of it at once, its few actions, and below that its content. */
export function Page(props: {
  title: ReactNode;
  /** Beside the title: a count or a state. */
  note?: ReactNode;
  actions?: ReactNode;
  /** Below the title: tabs or filters. */
  bar?: ReactNode;
  /** The content scrolls by itself, such as a long table. */
  fills?: boolean;
  children: ReactNode;
}) {
  const { t } = useText();
  return (
    <div className="flex h-full min-h-0 flex-col">
      <header className="flex flex-col gap-2 px-4 pt-3 pb-2 md:px-6">
        <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
          <h1 className="min-w-0 text-lg font-semibold break-words">{props.title}</h1>
          {props.note}
          <div className="ml-auto flex flex-wrap gap-2">{props.actions}</div>
        </div>
        {props.bar}
      </header>
      {props.fills === true ? (
        <div className="flex min-h-0 grow flex-col">{props.children}</div>
      ) : (
        <div
          tabIndex={0}
          role="region"
          aria-label={t.app.content}
          className="min-h-0 grow overflow-y-auto"
        >
          {props.children}
        </div>
      )}
    </div>
  );
}
