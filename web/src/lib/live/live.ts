import { newId } from '@/lib/id';

import type { SseEvent } from './sse';
import { Stream, type StreamStatus } from './stream';
import { lacks, Wants } from './wants';

/** Events are handed on together at most this often, however fast they come. */
const BATCH_MS = 100;
/** Topics that a page asks for in one go make one connection. */
const SETTLE_MS = 30;
const PRUNE_MS = 30_000;
const CHANNEL = 'kanade-live';
const LEADER_LOCK = 'kanade-live-leader';
const TAB_LOCK = 'kanade-live-tab-';
/** Absent where the page came without TLS from another machine. */
const LOCKS = navigator.locks as LockManager | undefined;

type Message =
  | { kind: 'elected' }
  | { kind: 'wants'; tab: string; topics: readonly string[] }
  | { kind: 'events'; events: SseEvent[] }
  | { kind: 'status'; status: StreamStatus };

/** What a listener gets: the events' data, or that everything has to be read again. */
export type Listener = (events: { reset: boolean; data: unknown[] }) => void;

/**
 * Live changes for this tab, over one connection that all tabs of the browser share.
 *
 * One tab leads: it holds a lock that the browser passes on when the tab is closed, keeps the
 * connection, and passes on what comes. Every tab knows the last change it heard of, so the next
 * leader goes on from there.
 */
export class Live {
  readonly #tab = newId();
  readonly #channel = new BroadcastChannel(CHANNEL);
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #statusListeners = new Set<() => void>();
  readonly #wants = new Wants();
  #status: StreamStatus = 'connecting';
  #lastId: string | undefined;
  #leads = false;
  #stream: Stream | undefined;
  #connected: string[] = [];
  #queue: SseEvent[] = [];
  #flushing = false;
  #settling: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.#channel.onmessage = ({ data }: MessageEvent<Message>) => {
      this.#hear(data);
    };
    this.#elect();
    addEventListener('pagehide', () => {
      this.#send({ kind: 'wants', tab: this.#tab, topics: [] });
    });
    addEventListener('pageshow', () => {
      this.#tellWants();
    });
  }

  get status(): StreamStatus {
    return this.#status;
  }

  onStatus(listener: () => void): () => void {
    this.#statusListeners.add(listener);
    return () => this.#statusListeners.delete(listener);
  }

  /** Calls `listener` with what changes under `topic`, until the answer is called. */
  listen(topic: string, listener: Listener): () => void {
    const listeners = this.#listeners.get(topic) ?? new Set();
    this.#listeners.set(topic, listeners.add(listener));
    this.#tellWants();
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) this.#listeners.delete(topic);
      this.#tellWants();
    };
  }

  /** Tries again at once, after somebody signed in. */
  reconnect(): void {
    if (this.#leads) this.#connect();
  }

  #tellWants(): void {
    const topics = [...this.#listeners.keys()];
    this.#wants.set(this.#tab, topics);
    this.#send({ kind: 'wants', tab: this.#tab, topics });
    this.#settle();
  }

  #hear(message: Message): void {
    switch (message.kind) {
      case 'elected':
        this.#tellWants();
        break;
      case 'wants':
        this.#wants.set(message.tab, message.topics);
        if (this.#leads) this.#send({ kind: 'status', status: this.#status });
        this.#settle();
        break;
      case 'events':
        this.#take(message.events);
        break;
      case 'status':
        this.#setStatus(message.status);
        break;
    }
  }

  #elect(): void {
    if (LOCKS === undefined) {
      // Nobody to agree with: every tab has a connection of its own.
      this.#channel.close();
      this.#leads = true;
      return;
    }
    void LOCKS.request(TAB_LOCK + this.#tab, forever);
    void LOCKS.request(LEADER_LOCK, () => {
      this.#lead(LOCKS);
      return forever();
    });
  }

  #lead(locks: LockManager): void {
    this.#leads = true;
    this.#send({ kind: 'elected' });
    setInterval(() => void this.#prune(locks), PRUNE_MS);
    this.#settle();
  }

  async #prune(locks: LockManager): Promise<void> {
    const { held = [] } = await locks.query();
    const names = held.map((lock) => lock.name ?? '');
    const tabs = names.filter((name) => name.startsWith(TAB_LOCK));
    this.#wants.keep(new Set(tabs.map((name) => name.slice(TAB_LOCK.length))));
  }

  #settle(): void {
    if (!this.#leads) return;
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => {
      if (this.#stream === undefined || lacks(this.#connected, this.#wants.all())) this.#connect();
    }, SETTLE_MS);
  }

  #connect(): void {
    this.#stream?.close();
    this.#connected = this.#wants.all();
    if (this.#connected.length === 0) {
      this.#stream = undefined;
      return;
    }
    this.#stream = new Stream(this.#connected, this.#lastId, {
      events: (events) => {
        this.#send({ kind: 'events', events });
        this.#take(events);
      },
      status: (status) => {
        this.#send({ kind: 'status', status });
        this.#setStatus(status);
      },
    });
  }

  #take(events: SseEvent[]): void {
    this.#lastId = events.findLast((event) => event.id !== undefined)?.id ?? this.#lastId;
    this.#queue.push(...events);
    if (this.#flushing) return;
    this.#flushing = true;
    setTimeout(() => {
      this.#flushing = false;
      this.#flush();
    }, BATCH_MS);
  }

  #flush(): void {
    const events = this.#queue;
    this.#queue = [];
    const reset = events.some((event) => event.event === 'reset');
    for (const [topic, listeners] of this.#listeners) {
      const mine = events.filter((event) => event.event === topic);
      if (mine.length === 0 && !reset) continue;
      const data = mine.map((event): unknown => JSON.parse(event.data));
      for (const listener of listeners) listener({ reset, data });
    }
  }

  #setStatus(status: StreamStatus): void {
    this.#status = status;
    for (const listener of this.#statusListeners) listener();
  }

  #send(message: Message): void {
    if (LOCKS !== undefined) this.#channel.postMessage(message);
  }
}

function forever(): Promise<never> {
  return new Promise(() => undefined);
}
