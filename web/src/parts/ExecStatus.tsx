import type { ExecView } from '@/api/types';
import { useText } from '@/i18n/text';
import { Status } from '@/ui/Status';

import { notOkCount } from './states';

/** An exec's state, and whether it went well so far. */
export function ExecStatus({ exec }: { exec: ExecView }) {
  const { t } = useText();
  const bad = notOkCount(exec.counts);
  if (exec.stop != null) {
    return (
      <Status tone="warn" shape="cross">
        {t.exec.stopped[exec.stop]}
      </Status>
    );
  }
  if (exec.state === 'running') {
    return (
      <Status tone={bad > 0 ? 'warn' : 'busy'} shape="play">
        {t.execState.running}
      </Status>
    );
  }
  return bad > 0 ? (
    <Status tone="bad" shape="cross">
      {t.execs.notOk(bad)}
    </Status>
  ) : (
    <Status tone="ok" shape="check">
      {t.outcome.ok}
    </Status>
  );
}
