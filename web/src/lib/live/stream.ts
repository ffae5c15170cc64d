import { type SseEvent, SseParser } from './sse';

/** The backend breaks its silence every 15 s; after this the connection counts as dead. */
const SILENCE_MS = 40_000;
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 5_000;

/** How the one connection to the backend is. */
export type StreamStatus = 'connecting' | 'live' | 'lost' | 'signed_out';

/** Who is told what the connection brings. */
export interface Sink {
  events: (events: SseEvent[]) => void;
  status: (status: StreamStatus) => void;
}

/** How long to wait before the try number `failures` + 1; `random` is from 0 to 1. */
export function retryDelay(failures: number, random: number): number {
  const longest = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** failures);
  return longest / 2 + (random * longest) / 2;
}

/**
 * A connection to the events of some topics that comes back by itself, and goes on where it was.
 */
export class Stream {
  readonly #topics: string[];
  readonly #sink: Sink;
  readonly #abort = new AbortController();
  #lastId: string | undefined;

  constructor(topics: string[], lastId: string | undefined, sink: Sink) {
    this.#topics = topics;
    this.#lastId = lastId;
    this.#sink = sink;
    void this.#run();
  }

  close(): void {
    this.#abort.abort();
  }

  #closed(): boolean {
    return this.#abort.signal.aborted;
  }

  async #run(): Promise<void> {
    for (let failures = 0; !this.#closed(); failures += 1) {
      const outcome = await this.#connect();
      if (this.#closed()) return;
      this.#sink.status(outcome === 'refused' ? 'signed_out' : 'lost');
      if (outcome === 'ended') failures = 0;
      await pause(retryDelay(failures, Math.random()), this.#abort.signal);
    }
  }

  /** `ended`: it was live for a while; `failed`: it never was; `refused`: nobody is signed in. */
  async #connect(): Promise<'ended' | 'failed' | 'refused'> {
    const attempt = new AbortController();
    const abort = () => {
      attempt.abort();
    };
    this.#abort.signal.addEventListener('abort', abort);
    let watchdog = setTimeout(abort, SILENCE_MS);
    let live = false;
    try {
      const response = await fetch(`/api/v1/events?topics=${this.#topics.join(',')}`, {
        headers: this.#lastId === undefined ? {} : { 'Last-Event-ID': this.#lastId },
        signal: attempt.signal,
        cache: 'no-store',
      });
      if (response.status === 401) return 'refused';
      if (!response.ok || response.body === null) return 'failed';
      live = true;
      this.#sink.status('live');
      const parser = new SseParser();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return 'ended';
        clearTimeout(watchdog);
        watchdog = setTimeout(abort, SILENCE_MS);
        const events = parser.push(value);
        if (events.length === 0) continue;
        this.#lastId = events.findLast((event) => event.id !== undefined)?.id ?? this.#lastId;
        this.#sink.events(events);
      }
    } catch {
      return live ? 'ended' : 'failed';
    } finally {
      clearTimeout(watchdog);
      this.#abort.signal.removeEventListener('abort', abort);
    }
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener('online', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    addEventListener('online', done);
    signal.addEventListener('abort', done, { once: true });
  });
}
