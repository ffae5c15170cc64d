import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';

import { toApiError } from '@/api/errors';
import { execQuery, retryExec, stopExec } from '@/api/execs';
import type { ExecView } from '@/api/types';
import { useText } from '@/i18n/text';
import { newId } from '@/lib/id';
import { notOkCount } from '@/parts/states';
import { Button } from '@/ui/Button';
import { Confirm } from '@/ui/Confirm';
import { Failed } from '@/ui/States';

import { retryBlocked, stopBlocked, unended } from './can';

type Asked = 'kill' | 'withdraw' | 'retry';

/** What can be done to an exec, each after a look at what it would meet. */
export function Actions({ exec, onTold }: { exec: ExecView; onTold: (text: string) => void }) {
  const { t } = useText();
  const [asked, setAsked] = useState<Asked>();
  const close = () => setAsked(undefined);
  const cannotStop = stopBlocked(exec, t);
  return (
    <>
      <Button blocked={retryBlocked(exec, t)} onClick={() => setAsked('retry')}>
        {t.exec.retry}
      </Button>
      <Button blocked={cannotStop} onClick={() => setAsked('withdraw')}>
        {t.exec.withdraw}
      </Button>
      <Button kind="danger" blocked={cannotStop} onClick={() => setAsked('kill')}>
        {t.exec.kill}
      </Button>
      {asked === 'retry' && <Retry exec={exec} onClose={close} />}
      {(asked === 'kill' || asked === 'withdraw') && (
        <Stop exec={exec} action={asked} onClose={close} onTold={onTold} />
      )}
    </>
  );
}

function Stop(props: {
  exec: ExecView;
  action: 'kill' | 'withdraw';
  onClose: () => void;
  onTold: (text: string) => void;
}) {
  const { t } = useText();
  const { exec, action } = props;
  const client = useQueryClient();
  const stopping = useMutation({
    mutationFn: (reason: string | undefined) => stopExec(exec.exec_id, action, reason),
    onSuccess: (stop) => {
      client.setQueryData(execQuery(exec.exec_id).queryKey, stop.exec);
      props.onTold(
        t.exec.stopResult(stop.never_start, stop.to_kill, stop.already_ended, stop.offline),
      );
      props.onClose();
    },
  });
  const { notStarted, running } = unended(exec);
  const count = notStarted + running;
  const kills = action === 'kill';
  return (
    <Confirm
      title={kills ? t.exec.killTitle(count) : t.exec.withdrawTitle(count)}
      count={count}
      action={kills ? t.exec.kill : t.exec.withdraw}
      danger
      busy={stopping.isPending}
      reasonLabel={t.exec.reason}
      onConfirm={(reason) => stopping.mutate(reason)}
      onClose={props.onClose}
    >
      <p>
        {kills ? t.exec.killHelp(notStarted, running) : t.exec.withdrawHelp(notStarted, running)}
      </p>
      {stopping.error !== null && <Failed failure={toApiError(stopping.error)} />}
    </Confirm>
  );
}

function Retry({ exec, onClose }: { exec: ExecView; onClose: () => void }) {
  const { t } = useText();
  const client = useQueryClient();
  // One dialog is one wish, however often it is sent.
  const [key] = useState(() => newId());
  const retrying = useMutation({
    mutationFn: (reason: string | undefined) => retryExec(exec.exec_id, key, reason),
    onSuccess: (now) => {
      client.setQueryData(execQuery(exec.exec_id).queryKey, now);
      void client.invalidateQueries({ queryKey: ['targets', exec.exec_id] });
      onClose();
    },
  });
  const count = notOkCount(exec.counts);
  return (
    <Confirm
      title={t.exec.retryTitle(count)}
      count={count}
      action={t.exec.retryFailed(count)}
      busy={retrying.isPending}
      reasonLabel={t.exec.reason}
      onConfirm={(reason) => retrying.mutate(reason)}
      onClose={onClose}
    >
      <p>{t.exec.retryHelp}</p>
      {retrying.error !== null && <Failed failure={toApiError(retrying.error)} />}
    </Confirm>
  );
}
