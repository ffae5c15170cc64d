import { useInfiniteQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';

import { toApiError } from '@/api/errors';
import { targetsQuery } from '@/api/execs';
import { rowsOf } from '@/api/pages';
import type { ExecView, Outcome, TargetState, TargetView } from '@/api/types';
import { useReadAhead } from '@/api/useReadAhead';
import type { Messages } from '@/i18n/en';
import { useText } from '@/i18n/text';
import { TargetStatus } from '@/parts/states';
import { Why } from '@/parts/Why';
import { DataTable, type Column } from '@/ui/DataTable';
import { FilterChip } from '@/ui/Filters';
import { Failed, Loading } from '@/ui/States';
import { Time } from '@/ui/Time';

const route = getRouteApi('/execs/$execId');
const AHEAD_ROWS = 20_000;
const STATES = ['pending', 'admitted', 'running', 'ended'] as const satisfies TargetState[];
const OUTCOMES = [
  'ok',
  'failed',
  'timed_out',
  'killed',
  'skipped',
  'interrupted',
  'expired',
  'withdrawn',
  'revoked',
  'superseded',
  'lost',
] as const satisfies Outcome[];

/** Every PC of an exec, and how far it is. */
export function PcsTab({ exec }: { exec: ExecView }) {
  const { t } = useText();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { state, outcome } = search;
  const targets = useInfiniteQuery(targetsQuery(exec.exec_id, { state, outcome }));
  useReadAhead(targets, AHEAD_ROWS);
  const rows = rowsOf(targets.data);
  const set = (part: Partial<typeof search>) =>
    void navigate({ search: { ...search, ...part }, replace: true });
  return (
    <>
      <div className="flex flex-wrap gap-2 px-4 py-2 md:px-6">
        <FilterChip
          name={t.exec.state}
          value={state}
          options={STATES.map((value) => ({ value, label: t.targetState[value] }))}
          onChange={(value) => set({ state: value })}
        />
        <FilterChip
          name={t.agent.outcome}
          value={outcome}
          options={OUTCOMES.map((value) => ({ value, label: t.outcome[value] }))}
          onChange={(value) => set({ outcome: value })}
        />
      </div>
      {targets.data === undefined ? (
        targets.error === null ? (
          <Loading />
        ) : (
          <Failed failure={toApiError(targets.error)} onRetry={() => void targets.refetch()} />
        )
      ) : rows.length === 0 ? (
        <p className="text-muted px-4 md:px-6">{t.common.noMatch}</p>
      ) : (
        <DataTable
          key={`${state ?? ''} ${outcome ?? ''}`}
          name={t.exec.tabs.pcs}
          columns={columns(t)}
          rows={rows}
          keyOf={(target) => target.pc_id}
          hasMore={targets.hasNextPage}
          onMore={() => {
            if (!targets.isFetching) void targets.fetchNextPage();
          }}
        />
      )}
    </>
  );
}

function columns(t: Messages): readonly Column<TargetView>[] {
  return [
    {
      id: 'pc',
      title: t.exec.pc,
      width: 'min(14rem, 50vw)',
      cell: (target) => (
        <Link to="/agents/$pcId" params={{ pcId: target.pc_id }} className="link">
          {target.pc_id}
        </Link>
      ),
    },
    {
      id: 'state',
      title: t.exec.state,
      width: 'min(10rem, 48vw)',
      cell: (target) => (
        <span className="inline-flex items-center gap-1.5">
          <TargetStatus target={target} />
          {target.why != null && (
            <span className="md:hidden">
              <Why text={whyText(target, t)} />
            </span>
          )}
        </span>
      ),
    },
    {
      id: 'why',
      title: t.exec.why,
      from: 'md',
      cell: (target) => (
        <span className="text-muted" title={whyText(target, t)}>
          {whyText(target, t)}
        </span>
      ),
    },
    {
      id: 'exit',
      title: t.exec.exit,
      width: '6rem',
      number: true,
      from: 'lg',
      cell: (target) => target.exit_code ?? t.common.none,
    },
    {
      id: 'started',
      title: t.exec.started,
      width: '8rem',
      from: 'lg',
      cell: (target) => <Time at={target.started_at} />,
    },
    {
      id: 'ended',
      title: t.exec.ended,
      width: '8rem',
      from: 'sm',
      cell: (target) => <Time at={target.ended_at} />,
    },
  ];
}

function whyText(target: TargetView, t: Messages): string {
  const parts = [
    target.why?.text,
    target.provisional === true ? t.exec.provisional : undefined,
    target.stopping === true ? t.exec.stopping : undefined,
  ];
  return parts.filter((part) => part !== undefined).join('; ');
}
