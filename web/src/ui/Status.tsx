import type { ReactNode } from 'react';

/** How a state is meant; the colour follows from it, and the shape is chosen beside it. */
export type Tone = 'ok' | 'busy' | 'warn' | 'bad' | 'idle';

const SHAPES = {
  check: 'M3.2 8.4l3.1 3.1 6.5-6.6',
  cross: 'M4.2 4.2l7.6 7.6M11.8 4.2l-7.6 7.6',
  dash: 'M3.5 8h9',
  disc: 'M8 8h.01',
  ring: 'M8 12.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9z',
  half: 'M8 12.5a4.5 4.5 0 1 0 0-9M8 3.5v9',
  play: 'M5.5 4v8L12 8z',
  clock: 'M8 13A5 5 0 1 0 8 3a5 5 0 0 0 0 10zM8 5.4V8l1.8 1.2',
  bar: 'M8 3.5v5.2M8 12h.01',
} as const;

export type Shape = keyof typeof SHAPES;

const TONES: Record<Tone, string> = {
  ok: 'text-ok',
  busy: 'text-accent',
  warn: 'text-warn',
  bad: 'text-bad',
  idle: 'text-muted',
};

/** A state as shape, word and colour. */
export function Status(props: { tone: Tone; shape: Shape; children: ReactNode }) {
  return (
    <span className={`inline-flex items-baseline gap-1 whitespace-nowrap ${TONES[props.tone]}`}>
      <svg
        viewBox="0 0 16 16"
        className="size-3.5 shrink-0 self-center"
        fill="none"
        stroke="currentColor"
        strokeWidth={props.shape === 'disc' ? 8 : 2}
        strokeLinecap="round"
        strokeLinejoin="round"
        aria-hidden="true"
      >
        <path d={SHAPES[props.shape]} />
      </svg>
      {props.children}
    </span>
  );
}
