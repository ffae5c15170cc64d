import type { ReactNode } from 'react';

import { useText } from '@/i18n/text';

import { Button } from './Button';
import { Command } from './Command';

/** While something is read for the first time. */
export function Loading() {
  const { t } = useText();
  return (
    <p role="status" className="text-muted p-4">
      {t.common.loading}
    </p>
  );
}

/** What a page shows of an error; errors of the API fit. */
export interface Failure {
  message: string;
  status?: number;
  help?: string | undefined;
  causes?: readonly string[];
}

/** Something that could not be read or done, and what to do next. */
export function Failed({ failure, onRetry }: { failure: Failure; onRetry?: () => void }) {
  const { t } = useText();
  const unreachable = failure.status === 0 || (failure.status ?? 0) >= 502;
  const title = unreachable ? t.common.noAnswer : failure.message;
  const help = unreachable ? t.common.noAnswerHelp : failure.help;
  return (
    <div
      role="alert"
      className="border-bad-fill bg-bad-soft m-4 flex flex-col gap-2 rounded border p-3"
    >
      <p className="text-bad font-medium">{title}</p>
      {failure.causes?.map((cause) => (
        <p key={cause} className="text-muted">
          {cause}
        </p>
      ))}
      {help !== undefined && <p>{help}</p>}
      {onRetry !== undefined && (
        <div>
          <Button onClick={onRetry}>{t.common.tryAgain}</Button>
        </div>
      )}
    </div>
  );
}

/** A page without anything yet: what it is for, and how the first one comes about. */
export function Empty(props: {
  title: string;
  help: string;
  command?: string;
  children?: ReactNode;
}) {
  return (
    <div className="flex max-w-2xl flex-col gap-2 p-4 md:p-6">
      <h2 className="text-base font-semibold">{props.title}</h2>
      <p className="text-muted">{props.help}</p>
      {props.command !== undefined && <Command text={props.command} />}
      {props.children}
    </div>
  );
}
