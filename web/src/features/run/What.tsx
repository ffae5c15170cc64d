import { useQuery } from '@tanstack/react-query';
import { useId } from 'react';

import { jobsFoundQuery } from '@/api/jobs';
import { useText } from '@/i18n/text';
import { JOB_COMMAND } from '@/parts/commands';
import { Command } from '@/ui/Command';
import { Section } from '@/ui/Facts';

import { SHELLS, type RunForm } from './form';
import { Radios } from './Radios';

const JOBS = 500;

interface Props {
  form: RunForm;
  set: (part: Partial<RunForm>) => void;
}

/** What runs: a script, or a job of the catalogue. */
export function What({ form, set }: Props) {
  const { t } = useText();
  return (
    <Section title={t.run.what}>
      <Radios
        legend={t.run.what}
        value={form.what}
        options={[
          { value: 'script', label: t.run.script },
          { value: 'job', label: t.run.job },
        ]}
        onChange={(what) => set({ what })}
      />
      {form.what === 'script' ? (
        <Script form={form} set={set} />
      ) : (
        <JobChoice form={form} set={set} />
      )}
    </Section>
  );
}

function Script({ form, set }: Props) {
  const { t } = useText();
  const [scriptId, shellId, timeoutId] = [useId(), useId(), useId()];
  return (
    <div className="flex flex-col gap-3">
      <div className="flex flex-col gap-1">
        <label htmlFor={scriptId}>{t.run.scriptLabel}</label>
        <textarea
          id={scriptId}
          className="field mono min-h-40 resize-y"
          spellCheck={false}
          autoCapitalize="off"
          autoComplete="off"
          placeholder={t.run.scriptPlaceholder}
          value={form.script}
          onChange={(event) => set({ script: event.target.value })}
        />
      </div>
      <div className="grid gap-4 sm:grid-cols-2">
        <div className="flex flex-col gap-1">
          <label htmlFor={shellId}>{t.run.shell}</label>
          <select
            id={shellId}
            className="field"
            value={form.shell}
            onChange={(event) => {
              const shell = SHELLS.find((one) => one === event.target.value);
              if (shell !== undefined) set({ shell });
            }}
          >
            {SHELLS.map((shell) => (
              <option key={shell}>{shell}</option>
            ))}
          </select>
        </div>
        <div className="flex flex-col gap-1">
          <label htmlFor={timeoutId}>{t.run.timeout}</label>
          <input
            id={timeoutId}
            className="field mono"
            value={form.timeout}
            onChange={(event) => set({ timeout: event.target.value })}
          />
        </div>
      </div>
    </div>
  );
}

function JobChoice({ form, set }: Props) {
  const { t } = useText();
  const id = useId();
  const jobs = useQuery(jobsFoundQuery('', JOBS));
  if (jobs.data?.items.length === 0) {
    return (
      <div className="flex flex-col gap-2">
        <p>{t.run.noJobs}</p>
        <Command text={JOB_COMMAND} />
      </div>
    );
  }
  return (
    <div className="flex flex-col gap-1">
      <label htmlFor={id}>{t.run.chooseJob}</label>
      <select
        id={id}
        className="field"
        value={form.job}
        onChange={(event) => set({ job: event.target.value })}
      >
        <option value="" />
        {jobs.data?.items.map((job) => (
          <option key={job.job_id} value={job.job_id}>
            {job.job_id} {job.version}
            {job.description == null ? '' : ` · ${job.description}`}
          </option>
        ))}
      </select>
    </div>
  );
}
