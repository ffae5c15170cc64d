import { useMutation } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import { useId, useState } from 'react';

import { ApiError, toApiError } from '@/api/errors';
import { issue } from '@/api/execs';
import { useText } from '@/i18n/text';
import { Button } from '@/ui/Button';
import { Confirm } from '@/ui/Confirm';
import { needsTyping } from '@/ui/confirmRule';
import { Page } from '@/ui/Page';
import { Failed } from '@/ui/States';

import { missing, newForm, toRequest, type RunForm } from './form';
import { Preview } from './Preview';
import { usePreview } from './usePreview';
import { What } from './What';
import { Where } from './Where';

const route = getRouteApi('/run');

const HOUR_S = 3_600;

/** Runs a script or a job: what, where, whom that hits, and go. */
export function RunPage() {
  const { t } = useText();
  const navigate = route.useNavigate();
  const address = route.useSearch();
  const [form, setForm] = useState(() => newForm(address));
  const [asking, setAsking] = useState(false);
  const request = toRequest(form);
  const preview = usePreview(request);
  const set = (part: Partial<RunForm>) => setForm((before) => ({ ...before, ...part }));

  const sending = useMutation({
    mutationFn: async () => {
      if (request === undefined || preview.data === undefined) throw new Error(t.run.needsCount);
      // The token stands for exactly the PCs that were shown, and is as good as a key.
      return issue({ ...request, preview: preview.data.token }, preview.data.token);
    },
    onSuccess: (exec) => void navigate({ to: '/execs/$execId', params: { execId: exec.exec_id } }),
    onError: (error) => {
      setAsking(false);
      if (error instanceof ApiError && error.code.startsWith('preview.')) void preview.refetch();
    },
  });

  const count = preview.data?.count ?? 0;
  const lacks = missing(form);
  const reasons = { script: t.run.needsScript, job: t.run.needsJob, target: t.run.needsTarget };
  const blocked =
    lacks !== undefined
      ? reasons[lacks]
      : preview.data === undefined
        ? (preview.error?.message ?? t.run.needsCount)
        : undefined;
  return (
    <Page title={t.run.title}>
      <form
        className="grid max-w-6xl gap-6 p-4 md:p-6 lg:grid-cols-[minmax(0,1fr)_20rem]"
        onSubmit={(event) => {
          event.preventDefault();
          if (blocked !== undefined) return;
          if (needsTyping(count)) setAsking(true);
          else sending.mutate();
        }}
      >
        <div className="flex min-w-0 flex-col gap-6">
          <What form={form} set={set} />
          <Where form={form} set={set} />
          <Limits form={form} set={set} />
        </div>
        <div className="flex flex-col gap-3">
          <Preview preview={preview} nobody={request === undefined} />
          {sending.error !== null && (
            <div className="-mx-4">
              <Failed failure={failure(sending.error, t.run.changed)} />
            </div>
          )}
          <Button type="submit" kind="main" blocked={blocked} disabled={sending.isPending}>
            {sending.isPending
              ? t.run.sending
              : preview.data === undefined
                ? t.run.submitNobody
                : t.run.submit(count)}
          </Button>
          {blocked !== undefined && request !== undefined && (
            <p className="text-muted">{blocked}</p>
          )}
        </div>
      </form>
      {asking && (
        <Confirm
          title={t.run.confirmTitle(count)}
          count={count}
          action={t.run.submit(count)}
          busy={sending.isPending}
          onConfirm={() => sending.mutate()}
          onClose={() => setAsking(false)}
        >
          <p>{t.run.confirmHelp}</p>
        </Confirm>
      )}
    </Page>
  );
}

function failure(thrown: unknown, changed: string): ApiError {
  const error = toApiError(thrown);
  if (error.code !== 'preview.changed') return error;
  return new ApiError({ status: error.status, code: error.code, title: changed });
}

/** How long it may take, and why it is done. */
function Limits({ form, set }: { form: RunForm; set: (part: Partial<RunForm>) => void }) {
  const { t } = useText();
  const [deadlineId, reasonId] = [useId(), useId()];
  const deadlines = [
    [HOUR_S, t.run.hour],
    [8 * HOUR_S, t.run.eightHours],
    [24 * HOUR_S, t.run.day],
    [7 * 24 * HOUR_S, t.run.week],
  ] as const;
  return (
    <div className="grid gap-4 sm:grid-cols-2">
      <div className="flex flex-col gap-1">
        <label htmlFor={deadlineId}>{t.run.deadline}</label>
        <select
          id={deadlineId}
          className="field"
          value={form.deadlineS}
          onChange={(event) => set({ deadlineS: Number(event.target.value) })}
        >
          {deadlines.map(([value, label]) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </select>
      </div>
      <div className="flex flex-col gap-1">
        <label htmlFor={reasonId}>{t.run.reason}</label>
        <input
          id={reasonId}
          className="field"
          value={form.reason}
          onChange={(event) => set({ reason: event.target.value })}
        />
      </div>
    </div>
  );
}
