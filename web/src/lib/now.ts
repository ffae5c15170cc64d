import { useSyncExternalStore } from 'react';

/** All clocks of the page tick together. */
const TICK_MS = 1_000;

const listeners = new Set<() => void>();
let now = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;

function tick(): void {
  now = Date.now();
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  if (listeners.size === 0) {
    now = Date.now();
    timer = setInterval(tick, TICK_MS);
  }
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) clearInterval(timer);
  };
}

/** The time, stepped by `stepMs`, so that what shows minutes is not drawn every second. */
export function useNow(stepMs = TICK_MS): Date {
  const stepped = useSyncExternalStore(subscribe, () => Math.floor(now / stepMs) * stepMs);
  return new Date(stepped);
}
