import { Link } from '@tanstack/react-router';

import type { ExecView } from '@/api/types';
import { useText } from '@/i18n/text';
import { targetsText } from '@/parts/targetsText';
import { Command, CopyButton } from '@/ui/Command';
import { Facts, Section } from '@/ui/Facts';
import { Time } from '@/ui/Time';

/** What was asked for, by whom, and how the command line continues. */
export function DetailsTab({ exec }: { exec: ExecView }) {
  const { t, format } = useText();
  const short = exec.exec_id.slice(0, 12);
  return (
    <div className="flex max-w-4xl flex-col gap-6 p-4 md:p-6">
      <Facts
        rows={[
          [
            t.exec.id,
            <span key="id" className="inline-flex flex-wrap items-center">
              <span className="mono break-all">{exec.exec_id}</span>
              <CopyButton text={exec.exec_id} />
            </span>,
          ],
          [
            t.exec.job,
            exec.job_id == null ? (
              t.exec.adhoc
            ) : (
              <span>
                <Link to="/jobs/$jobId" params={{ jobId: exec.job_id }} className="link">
                  {exec.job_id}
                </Link>{' '}
                <span className="mono">{exec.job_version}</span>
              </span>
            ),
          ],
          [t.exec.targets, targetsText(exec.targets, t, format)],
          [t.exec.reach, exec.reach === 'open' ? t.exec.reachOpen : t.exec.reachFixed],
          [t.exec.issued, <Issued key="issued" exec={exec} />],
          [t.exec.deadline, format.dateTime(new Date(exec.deadline))],
          [t.exec.ended, <Time key="ended" at={exec.ended_at} />],
          [t.exec.reasonGiven, exec.reason ?? t.common.none],
          ...(exec.adopted === true ? [[t.exec.adopted, t.common.yes] as const] : []),
        ]}
      />
      <Section title={t.exec.cli}>
        <Command text={`kanade watch ${short}`} />
        <Command text={`kanade describe exec ${short}`} />
        <Command text={`kanade retry ${short}`} />
      </Section>
    </div>
  );
}

function Issued({ exec }: { exec: ExecView }) {
  const { t } = useText();
  return (
    <span>
      <Time at={exec.issued_at} /> <span className="text-muted">{t.exec.by(exec.issued_by)}</span>
    </span>
  );
}
