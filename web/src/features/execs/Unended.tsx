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
const AGAIN_MS = 2_000;

/** PCs that have not ended, with why; of many only the number, until somebody opens them. */
export function Unended({ exec, open }: { exec: ExecView; open: boolean }) {
  const { t } = useText();
  const { pending, admitted, running } = exec.counts;
  const groups = [
    ['running', running, t.exec.running(running)],
    ['admitted', admitted, t.exec.accepted(admitted)],
    ['pending', pending, t.exec.waiting(pending)],
  ] as const;
  const shown = groups.filter(([, count]) => count > 0);
  if (shown.length === 0) return null;
  return (
    <div className="flex flex-col gap-1">
      {shown.map(([state, count, title]) => (
        <Group
          key={state}
          exec={exec}
          state={state}
          title={title}
          more={count > ROWS ? t.exec.showAll(count) : undefined}
          enough={Math.min(count, ROWS)}
          open={open}
        />
      ))}
    </div>
  );
}

interface GroupProps {
  exec: ExecView;
  state: Exclude<TargetState, 'ended'>;
  title: string;
  more: string | undefined;
  /** Rows that there must be. */
  enough: number;
  open: boolean;
}

function Group(props: GroupProps) {
  const [open, setOpen] = useState(props.open);
  return (
    <details open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary className="text-muted cursor-pointer py-0.5 font-medium">{props.title}</summary>
      {open && <Rows {...props} />}
    </details>
  );
}

function Rows({ exec, state, more, enough }: GroupProps) {
  // Rows are changed in place, so some of them may have gone on, and others come.
  const inState = (data: TargetView[]) => data.filter((target) => target.state === state);
  const targets = useInfiniteQuery({
    ...targetsQuery(exec.exec_id, { state }),
    refetchInterval: ({ state: { data } }) =>
      inState(rowsOf(data)).length < enough ? AGAIN_MS : false,
  });
  return (
    <>
      <ul className="border-line border-t">
        {inState(rowsOf(targets.data))
          .slice(0, ROWS)
          .map((target) => (
            <Row key={target.pc_id} target={target} />
          ))}
      </ul>
      {more !== undefined && (
        <Link
          to="/execs/$execId"
          params={{ execId: exec.exec_id }}
          search={{ tab: 'pcs', state }}
          className="link inline-block py-1"
        >
          {more}
        </Link>
      )}
    </>
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
