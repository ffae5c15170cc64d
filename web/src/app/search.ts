/** What an address says after its `?`, before anybody looked at it. */
export type RawSearch = Record<string, unknown>;

/** A text, or nothing. */
export function text(search: RawSearch, key: string): string | undefined {
  const value = search[key];
  if (typeof value === 'string') return value === '' ? undefined : value;
  return typeof value === 'number' ? String(value) : undefined;
}

/** One of some words, or nothing. */
export function oneOf<T extends string>(
  search: RawSearch,
  key: string,
  words: readonly T[],
): T | undefined {
  return words.find((word) => word === search[key]);
}

/** The same, as links may give it: what is left out is not set. */
export function optional<T extends object>(search: T): Partial<T> {
  return search;
}
