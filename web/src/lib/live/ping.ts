/** A dead connection must be seen within three seconds, and a quiet one says nothing for 15. */
const EVERY_MS = 1_400;
const TIMEOUT_MS = 1_400;

/**
 * Asks the backend for a sign of life again and again while the tab is visible, and says when
 * the answer changes.
 */
export function watchReachable(changed: (reachable: boolean) => void): () => void {
  const stop = new AbortController();
  let reachable = true;
  const look = async () => {
    if (document.visibilityState !== 'visible') return;
    const now = await answers();
    if (now === reachable || stop.signal.aborted) return;
    reachable = now;
    changed(now);
  };
  const timer = setInterval(() => void look(), EVERY_MS);
  for (const event of ['online', 'offline']) {
    addEventListener(event, () => void look(), { signal: stop.signal });
  }
  document.addEventListener('visibilitychange', () => void look(), { signal: stop.signal });
  return () => {
    clearInterval(timer);
    stop.abort();
  };
}

async function answers(): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    // Any answer counts: a backend that is not ready is there all the same.
    const response = await fetch('/healthz', { signal, cache: 'no-store' });
    return response.status < 500;
  } catch {
    return false;
  }
}
