import type { ExecRequest, Shell } from '@/api/types';

/** A group or a PC that somebody picked. */
export interface Picked {
  kind: 'group' | 'pc';
  name: string;
}

/** The form as it is filled in. */
export interface RunForm {
  what: 'script' | 'job';
  shell: Shell;
  script: string;
  /** Limit of each run, such as `10m`. */
  timeout: string;
  job: string;
  where: 'all' | 'some';
  picked: readonly Picked[];
  except: readonly Picked[];
  deadlineS: number;
  reason: string;
}

export const SHELLS = ['sh', 'bash', 'pwsh', 'powershell', 'cmd'] as const satisfies Shell[];

/** What is counted with while there is no script yet; it is never sent to a PC. */
const NO_SCRIPT = ':';

/** The form at first, with what the address says. */
export function newForm(address: { job?: string; groups?: string; pcs?: string }): RunForm {
  const names = (text: string | undefined) => text?.split(',').filter((name) => name !== '') ?? [];
  const picked: Picked[] = [
    ...names(address.groups).map((name) => ({ kind: 'group' as const, name })),
    ...names(address.pcs).map((name) => ({ kind: 'pc' as const, name })),
  ];
  return {
    what: address.job === undefined ? 'script' : 'job',
    shell: 'sh',
    script: '',
    timeout: '10m',
    job: address.job ?? '',
    where: 'some',
    picked,
    except: [],
    deadlineS: 3_600,
    reason: '',
  };
}

/** What keeps the form from being sent, apart from the count. */
export type Missing = 'script' | 'job' | 'target';

export function missing(form: RunForm): Missing | undefined {
  if (form.what === 'script' && form.script.trim() === '') return 'script';
  if (form.what === 'job' && form.job === '') return 'job';
  if (form.where === 'some' && form.picked.length === 0) return 'target';
  return undefined;
}

/** The request that the form stands for; nothing while it names nobody. */
export function toRequest(form: RunForm): ExecRequest | undefined {
  if (form.where === 'some' && form.picked.length === 0) return undefined;
  const of = (list: readonly Picked[], kind: Picked['kind']) =>
    list.filter((one) => one.kind === kind).map((one) => one.name);
  const picked = form.where === 'all' ? [] : form.picked;
  const script = {
    shell: form.shell,
    script: form.script.trim() === '' ? NO_SCRIPT : form.script,
    timeout: form.timeout,
  };
  return {
    what: form.what === 'job' && form.job !== '' ? { job: form.job } : { script },
    targets: {
      all: form.where === 'all',
      groups: of(picked, 'group'),
      pcs: of(picked, 'pc'),
      not_groups: of(form.except, 'group'),
      not_pcs: of(form.except, 'pc'),
    },
    deadline_s: form.deadlineS,
    ...(form.reason.trim() === '' ? {} : { reason: form.reason.trim() }),
  };
}
