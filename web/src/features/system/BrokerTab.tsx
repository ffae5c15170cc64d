import { useQuery } from '@tanstack/react-query';

import { toApiError } from '@/api/errors';
import { planQuery } from '@/api/system';
import type { PlanStep } from '@/api/types';
import type { Messages } from '@/i18n/en';
import { useText } from '@/i18n/text';
import { Command } from '@/ui/Command';
import { Section } from '@/ui/Facts';
import { SmallTable } from '@/ui/SmallTable';
import { Failed, Loading } from '@/ui/States';
import { Status, type Shape, type Tone } from '@/ui/Status';

/** What a reconcile of the broker would do, and what differs and stays so. */
export function BrokerTab() {
  const { t } = useText();
  const plan = useQuery(planQuery);
  if (plan.data === undefined) {
    return plan.error === null ? (
      <Loading />
    ) : (
      <Failed failure={toApiError(plan.error)} onRetry={() => void plan.refetch()} />
    );
  }
  const different = plan.data.steps.filter((step) => !isFine(step)).length;
  return (
    <div className="flex max-w-5xl flex-col gap-6 p-4 md:p-6">
      {different === 0 ? (
        <Status tone="ok" shape="check">
          {t.system.planFine}
        </Status>
      ) : (
        <div className="flex flex-col gap-2">
          <Status tone="warn" shape="bar">
            {t.system.planChanges(different)}
          </Status>
          <Command text="kanade bootstrap plan" />
        </div>
      )}
      <Section title={t.system.plan}>
        <SmallTable
          name={t.system.plan}
          rows={plan.data.steps}
          keyOf={(step) => step.stream}
          columns={[
            { title: t.system.resource, cell: (step) => <span className="mono">{step.name}</span> },
            { title: t.system.action, cell: (step) => <Action step={step} /> },
            { title: t.system.difference, cell: (step) => <Differences step={step} /> },
          ]}
        />
      </Section>
    </div>
  );
}

function isFine(step: PlanStep): boolean {
  return step.action.do === 'keep' && (step.drift ?? []).length === 0;
}

function actionOf(step: PlanStep, t: Messages): readonly [Tone, Shape, string] {
  switch (step.action.do) {
    case 'create':
      return ['busy', 'play', t.system.create];
    case 'update':
      return ['busy', 'play', t.system.update];
    case 'refuse':
      return ['bad', 'cross', t.system.refuse];
    case 'keep':
      return isFine(step) ? ['ok', 'check', t.system.unchanged] : ['warn', 'bar', t.system.drift];
  }
}

function Action({ step }: { step: PlanStep }) {
  const { t } = useText();
  const [tone, shape, word] = actionOf(step, t);
  return (
    <Status tone={tone} shape={shape}>
      {word}
    </Status>
  );
}

function Differences({ step }: { step: PlanStep }) {
  return (
    <ul>
      {step.action.do === 'refuse' && <li>{step.action.reason}</li>}
      {step.changes?.map((change) => (
        <li key={change.field} className="mono">
          {change.field}: {change.old} → {change.new}
        </li>
      ))}
      {step.drift?.map((drift) => (
        <li key={drift.field}>
          <span className="mono">
            {drift.field}: {drift.is} ≠ {drift.wanted}
          </span>{' '}
          <span className="text-muted">{drift.reason}</span>
        </li>
      ))}
    </ul>
  );
}
