import type { Counts, Level, Outcome, Presence, TargetView } from '@/api/types';
import { useText } from '@/i18n/text';
import { Status, type Shape, type Tone } from '@/ui/Status';

export function PresenceStatus({ presence }: { presence: Presence }) {
  const { t } = useText();
  const online = presence === 'online';
  return (
    <Status tone={online ? 'ok' : 'idle'} shape={online ? 'disc' : 'ring'}>
      {t.presence[presence]}
    </Status>
  );
}

const OUTCOMES: Record<Outcome, readonly [Tone, Shape]> = {
  ok: ['ok', 'check'],
  failed: ['bad', 'cross'],
  timed_out: ['bad', 'clock'],
  killed: ['warn', 'cross'],
  skipped: ['warn', 'dash'],
  interrupted: ['bad', 'bar'],
  expired: ['warn', 'clock'],
  withdrawn: ['idle', 'dash'],
  revoked: ['idle', 'dash'],
  superseded: ['idle', 'dash'],
  lost: ['bad', 'bar'],
  unknown: ['idle', 'bar'],
};

export function OutcomeStatus({ outcome }: { outcome: Outcome }) {
  const { t } = useText();
  const [tone, shape] = OUTCOMES[outcome];
  return (
    <Status tone={tone} shape={shape}>
      {t.outcome[outcome]}
    </Status>
  );
}

/** How far one PC is with an exec. */
export function TargetStatus({ target }: { target: TargetView }) {
  const { t } = useText();
  if (target.outcome != null) return <OutcomeStatus outcome={target.outcome} />;
  const running = target.state === 'running';
  return (
    <Status tone={running ? 'busy' : 'idle'} shape={running ? 'play' : 'clock'}>
      {t.targetState[target.state]}
    </Status>
  );
}

export function LevelStatus({ level }: { level: Level }) {
  const { t } = useText();
  const tones = { ok: 'ok', warn: 'warn', error: 'bad' } as const;
  const shapes = { ok: 'check', warn: 'bar', error: 'cross' } as const;
  return (
    <Status tone={tones[level]} shape={shapes[level]}>
      {t.level[level]}
    </Status>
  );
}

/** Targets that ended, whatever with. */
export function endedCount(counts: Counts): number {
  return Object.values(counts.ended).reduce((sum, count) => sum + count, 0);
}

/** Targets that ended with anything but `ok`. */
export function notOkCount(counts: Counts): number {
  return endedCount(counts) - (counts.ended.ok ?? 0);
}

/** Targets that ended in a way that is meant so. */
export function endedAs(counts: Counts, tone: Tone): number {
  const entries = Object.entries(counts.ended) as [Outcome, number][];
  const meant = entries.filter(([outcome]) => OUTCOMES[outcome][0] === tone);
  return meant.reduce((sum, [, count]) => sum + count, 0);
}
