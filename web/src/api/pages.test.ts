import { expect, test } from 'vitest';

import { patchPages, prependRows, rowsOf } from './pages';

interface Row {
  id: string;
  n: number;
}

const page = (...items: Row[]) => ({ items, count: { at_least: items.length, exact: true } });
const data = {
  pages: [page({ id: 'a', n: 1 }, { id: 'b', n: 1 }), page({ id: 'c', n: 1 })],
  pageParams: [undefined, 'x'],
};
const keyOf = (row: Row) => row.id;

test('changed rows stay where they are, and pages without any stay the same', () => {
  const patched = patchPages(data, new Map([['b', { id: 'b', n: 2 }]]), keyOf);
  expect(rowsOf(patched.data).map((row) => row.id + String(row.n))).toEqual(['a1', 'b2', 'c1']);
  expect(patched.data.pages[1]).toBe(data.pages[1]);
  expect(patched.strangers).toEqual([]);
});

test('rows that are on no page are given back', () => {
  const patched = patchPages(data, new Map([['z', { id: 'z', n: 9 }]]), keyOf);
  expect(patched.strangers).toEqual([{ id: 'z', n: 9 }]);
  expect(rowsOf(patched.data)).toEqual(rowsOf(data));
});

test('new rows come first and are counted', () => {
  const more = prependRows(data, [{ id: 'z', n: 9 }]);
  expect(rowsOf(more).map(keyOf)).toEqual(['z', 'a', 'b', 'c']);
  expect(more.pages[0]?.count.at_least).toBe(3);
});
