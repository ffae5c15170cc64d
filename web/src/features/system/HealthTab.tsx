import type { SystemView } from '@/api/types';
import { useText } from '@/i18n/text';
import { LevelStatus } from '@/parts/states';
import { Command } from '@/ui/Command';
import { Section } from '@/ui/Facts';
import { SmallTable } from '@/ui/SmallTable';

/** What the doctor finds, how far the projector is, and the background tasks. */
export function HealthTab({ system }: { system: SystemView }) {
  const { t, format } = useText();
  return (
    <div className="flex max-w-5xl flex-col gap-8 p-4 md:p-6">
      <Section title={t.system.findings}>
        <ul className="border-line border-t">
          {system.findings.map((finding) => (
            <li
              key={finding.code + finding.text}
              className="border-line flex flex-wrap gap-x-3 border-b py-1.5"
            >
              <span className="w-16 shrink-0">
                <LevelStatus level={finding.level} />
              </span>
              <span className="min-w-0 grow basis-60">
                {finding.text}
                {finding.help != null && <span className="text-muted block">{finding.help}</span>}
              </span>
              <span className="mono text-muted">{finding.code}</span>
            </li>
          ))}
        </ul>
        <Command text="kanade doctor" />
      </Section>
      <Section title={t.system.streams}>
        <SmallTable
          name={t.system.streams}
          rows={system.streams}
          keyOf={(stream) => stream.stream}
          columns={[
            { title: t.system.stream, cell: (one) => <span className="mono">{one.stream}</span> },
            {
              title: t.system.lag,
              number: true,
              cell: (one) => (
                <span className={one.lag > 0 ? 'text-warn' : ''}>{format.number(one.lag)}</span>
              ),
            },
            {
              title: t.system.position,
              number: true,
              wide: true,
              cell: (one) => format.number(one.position),
            },
            {
              title: t.system.stored,
              number: true,
              wide: true,
              cell: (one) => format.number(one.stored),
            },
            {
              title: t.system.dead,
              number: true,
              cell: (one) => format.number(one.dead_letters),
            },
            { title: t.system.gaps, number: true, cell: (one) => format.number(one.gaps) },
            {
              title: t.system.rewinds,
              number: true,
              wide: true,
              cell: (one) => format.number(one.rewinds),
            },
          ]}
        />
      </Section>
      <Section title={t.system.tasks}>
        <SmallTable
          name={t.system.tasks}
          rows={system.tasks}
          keyOf={(task) => task.task}
          columns={[
            { title: t.system.task, cell: (task) => task.task },
            {
              title: t.system.restarts,
              number: true,
              cell: (task) => (
                <span className={task.restarts > 0 ? 'text-warn' : ''}>
                  {format.number(task.restarts)}
                </span>
              ),
            },
            { title: t.system.lastError, cell: (task) => task.last_error ?? t.common.none },
          ]}
        />
      </Section>
    </div>
  );
}
