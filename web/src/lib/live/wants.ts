/** Which tab wants to hear which topics; the tab that leads listens to all of them. */
export class Wants {
  readonly #byTab = new Map<string, readonly string[]>();

  /** A tab says what it wants now; nothing when it goes. */
  set(tab: string, topics: readonly string[]): void {
    if (topics.length === 0) this.#byTab.delete(tab);
    else this.#byTab.set(tab, topics);
  }

  /** Forgets tabs that are gone without a word. */
  keep(tabs: ReadonlySet<string>): void {
    for (const tab of [...this.#byTab.keys()]) {
      if (!tabs.has(tab)) this.#byTab.delete(tab);
    }
  }

  /** Every topic that some tab wants, sorted. */
  all(): string[] {
    return [...new Set([...this.#byTab.values()].flat())].sort();
  }
}

/**
 * Whether the connection has to be made anew. Topics that nobody wants any more are no reason:
 * the backend would have to tell everybody to read everything again.
 */
export function lacks(connected: readonly string[], wanted: readonly string[]): boolean {
  return wanted.some((topic) => !connected.includes(topic));
}
