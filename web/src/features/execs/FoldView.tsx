import { Link } from '@tanstack/react-router';
import { useState } from 'react';

import { useText } from '@/i18n/text';
import { OutcomeStatus } from '@/parts/states';
import { Button } from '@/ui/Button';

import type { Fold } from './fold';
import { Output } from './Output';

const NAMES = 8;

/** One answer, and the PCs that gave it. */
export function FoldView({ fold }: { fold: Fold }) {
  const { t, format } = useText();
  const { first, results } = fold;
  const [all, setAll] = useState(false);
  const shown = all ? results : results.slice(0, NAMES);
  const silent = first.stdout.stored_bytes === 0 && first.stderr.stored_bytes === 0;
  const took =
    first.started_at == null ? 0 : Date.parse(first.ended_at) - Date.parse(first.started_at);
  return (
    <li className="flex flex-col gap-1.5">
      <div className="flex flex-wrap items-baseline gap-x-3 gap-y-0.5">
        <OutcomeStatus outcome={first.outcome} />
        {first.exit_code != null && first.exit_code !== 0 && (
          <span className="mono text-bad">{t.exec.exitCode(first.exit_code)}</span>
        )}
        {results.length > 1 && (
          <strong className="font-medium">{t.exec.says(results.length)}</strong>
        )}
        <span className="flex min-w-0 flex-wrap gap-x-2">
          {shown.map((result) => (
            <Link
              key={result.pc_id}
              to="/agents/$pcId"
              params={{ pcId: result.pc_id }}
              className={`link ${results.length === 1 ? 'font-medium' : ''}`}
            >
              {result.pc_id}
            </Link>
          ))}
          {results.length > NAMES && (
            <Button kind="quiet" className="!min-h-5 !px-1" onClick={() => setAll(!all)}>
              {all ? t.exec.showLess : t.exec.showAll(results.length)}
            </Button>
          )}
        </span>
        {results.length === 1 && took > 0 && (
          <span className="text-muted">{format.duration(took)}</span>
        )}
        {silent && <span className="text-muted">{t.exec.noOutput}</span>}
      </div>
      {first.reason != null && <p className="text-muted">{first.reason.text}</p>}
      {first.stdout.stored_bytes > 0 && (
        <Output requestId={first.request_id} stream="stdout" output={first.stdout} />
      )}
      {first.stderr.stored_bytes > 0 && (
        <Output requestId={first.request_id} stream="stderr" output={first.stderr} />
      )}
    </li>
  );
}
