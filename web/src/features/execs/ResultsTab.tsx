import { useInfiniteQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';

import { toApiError } from '@/api/errors';
import { execResultsQuery } from '@/api/execs';
import { rowsOf } from '@/api/pages';
import type { ExecView } from '@/api/types';
import { useReadAhead } from '@/api/useReadAhead';
import { useText } from '@/i18n/text';
import { Button } from '@/ui/Button';
import { Failed, Loading } from '@/ui/States';

import { fold } from './fold';
import { FoldView } from './FoldView';
import { Unended } from './Unended';

/** Results that are read and folded; an exec to more PCs shows the first so many. */
const MOST_RESULTS = 20_000;
/** Fewer PCs than this are shown one by one. */
const FOLD_OVER = 5;
const FOLDS = 30;

/** What the PCs said, as it comes in, equal answers together. */
export function ResultsTab({ exec }: { exec: ExecView }) {
  const { t } = useText();
  const results = useInfiniteQuery(execResultsQuery(exec.exec_id));
  useReadAhead(results, MOST_RESULTS);
  const many = exec.counts.targets > FOLD_OVER;
  const [chosen, setChosen] = useState<'fold' | 'each'>();
  const [all, setAll] = useState(false);
  const each = chosen === undefined ? !many : chosen === 'each';
  const ended = exec.state === 'ended';
  const folds = useMemo(() => fold(rowsOf(results.data), ended, each), [results.data, ended, each]);
  if (results.data === undefined) {
    return results.error === null ? (
      <Loading />
    ) : (
      <Failed failure={toApiError(results.error)} onRetry={() => void results.refetch()} />
    );
  }
  const shown = all ? folds : folds.slice(0, FOLDS);
  return (
    <div className="flex max-w-5xl flex-col gap-4 p-4 md:p-6">
      <Unended exec={exec} open={!many} />
      {folds.length === 0 && exec.state === 'running' && (
        <p className="text-muted">{t.exec.noResultsHelp}</p>
      )}
      {folds.length > 0 && exec.counts.targets > 1 && (
        <div>
          <Button onClick={() => setChosen(each ? 'fold' : 'each')} aria-pressed={!each}>
            {each ? t.exec.fold : t.exec.unfold}
          </Button>
        </div>
      )}
      <ul className="flex flex-col gap-5">
        {shown.map((one) => (
          <FoldView key={one.key} fold={one} />
        ))}
      </ul>
      {folds.length > FOLDS && !all && (
        <div>
          <Button onClick={() => setAll(true)}>{t.exec.showAll(folds.length)}</Button>
        </div>
      )}
    </div>
  );
}
