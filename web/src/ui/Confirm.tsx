import { useId, useState, type ReactNode } from 'react';

import { useText } from '@/i18n/text';

import { Button } from './Button';
import { Dialog } from './Dialog';
import { needsTyping } from './confirmRule';

/** Asks before something that many PCs will feel; over 100 of them, the number has to be typed. */
export function Confirm(props: {
  title: string;
  /** How many PCs it touches. */
  count: number;
  action: string;
  danger?: boolean;
  busy: boolean;
  onConfirm: (reason: string | undefined) => void;
  onClose: () => void;
  /** Label of the field for a reason; none without. */
  reasonLabel?: string;
  children: ReactNode;
}) {
  const { t } = useText();
  const [typed, setTyped] = useState('');
  const [reason, setReason] = useState('');
  const [typedId, reasonId] = [useId(), useId()];
  const typing = needsTyping(props.count);
  const blocked =
    typing && typed.trim() !== String(props.count)
      ? t.common.typeToConfirm(props.count)
      : undefined;
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <form
        method="dialog"
        className="flex flex-col gap-3"
        onSubmit={(event) => {
          event.preventDefault();
          if (blocked === undefined) props.onConfirm(reason.trim() || undefined);
        }}
      >
        {props.children}
        {props.reasonLabel !== undefined && (
          <div className="flex flex-col gap-1">
            <label htmlFor={reasonId}>{props.reasonLabel}</label>
            <input
              id={reasonId}
              className="field"
              value={reason}
              onChange={(event) => setReason(event.target.value)}
            />
          </div>
        )}
        {typing && (
          <div className="flex flex-col gap-1">
            <label htmlFor={typedId}>{t.common.typeToConfirm(props.count)}</label>
            <input
              id={typedId}
              className="field mono"
              inputMode="numeric"
              autoComplete="off"
              value={typed}
              onChange={(event) => setTyped(event.target.value)}
            />
          </div>
        )}
        <div className="flex justify-end gap-2">
          <Button onClick={props.onClose}>{t.common.cancel}</Button>
          <Button
            type="submit"
            kind={props.danger === true ? 'danger' : 'main'}
            disabled={props.busy}
            blocked={blocked}
          >
            {props.action}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
