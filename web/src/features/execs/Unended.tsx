import { useInfiniteQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';

import { targetsQuery } from '@/api/execs';
import { rowsOf } from '@/api/pages';
import type { ExecView, TargetState, TargetView } from '@/api/types';
import { useText } from '@/i18n/text';
import { TargetStatus } from '@/parts/states';
import { Button } from '@/ui/Button';

import { Tail } from './Tail';

const ROWS = 5;

/** PCs that have not ended, with why; the rest of them is a tab away. */
export function Unended({ exec }: { exec: ExecView }) {
  const { pending, admitted, running } = exec.counts;
  return (
    <>
      {running > 0 && <Group exec={exec} state="running" count={running} />}
      {admitted > 0 && <Group exec={exec} state="admitted" count={admitted} />}
      {pending > 0 && <Group exec={exec} state="pending" count={pending} />}
    </>
  );
}

function Group(props: { exec: ExecView; state: Exclude<TargetState, 'ended'>; count: number }) {
  const { t } = useText();
  const { exec, state, count } = props;
  const targets = useInfiniteQuery(targetsQuery(exec.exec_id, { state }));
  // Rows are changed in place, so some of them may have gone on.
  const rows = rowsOf(targets.data).filter((target) => target.state === state);
  const titles = { pending: t.exec.waiting, admitted: t.exec.accepted, running: t.exec.running };
  return (
    <section className="flex flex-col gap-1">
      <h2 className="text-muted flex gap-3 font-medium">
        {titles[state](count)}
        {count > ROWS && (
          <Link
            to="/execs/$execId"
            params={{ execId: exec.exec_id }}
            search={{ tab: 'pcs', state }}
            className="link font-normal"
          >
            {t.exec.showAll(count)}
          </Link>
        )}
      </h2>
      <ul className="border-line border-t">
        {rows.slice(0, ROWS).map((target) => (
          <Row key={target.pc_id} target={target} />
        ))}
      </ul>
    </section>
  );
}

function Row({ target }: { target: TargetView }) {
  const { t } = useText();
  const [follows, setFollows] = useState(false);
  return (
    <li className="border-line flex flex-col gap-1 border-b py-1.5">
      <div className="flex flex-wrap items-baseline gap-x-3">
        <TargetStatus target={target} />
        <Link to="/agents/$pcId" params={{ pcId: target.pc_id }} className="link">
          {target.pc_id}
        </Link>
        <span className="text-muted min-w-0">
          {target.stopping === true ? t.exec.stopping : target.why?.text}
        </span>
        {target.state === 'running' && (
          <Button
            className="!min-h-6 text-xs"
            aria-expanded={follows}
            onClick={() => setFollows(!follows)}
          >
            {t.exec.follow}
          </Button>
        )}
      </div>
      {follows && <Tail requestId={target.request_id} />}
    </li>
  );
}
