import { expect, test } from 'vitest';

import { formatOf } from './format';

const en = formatOf('en');
const ja = formatOf('ja');
const at = (text: string) => new Date(text);

test('a time is told in its largest unit, before and after', () => {
  const now = at('2026-01-02T12:00:00Z');
  expect(en.relative(at('2026-01-02T11:57:10Z'), now)).toBe('2 min. ago');
  expect(en.relative(at('2026-01-02T14:00:00Z'), now)).toBe('in 2 hr.');
  expect(en.relative(at('2026-01-02T12:00:00Z'), now)).toBe('now');
  expect(ja.relative(at('2026-01-02T11:57:10Z'), now)).toBe('2 分前');
});

test('sizes count in powers of 1,024', () => {
  expect(en.bytes(0)).toBe('0 byte');
  expect(en.bytes(1_536)).toBe('1.5 kB');
  expect(en.bytes(25_276_502_016)).toBe('24 GB');
});

test('lengths of time keep two digits', () => {
  expect(en.duration(40)).toBe('40 ms');
  expect(en.duration(1_240)).toBe('1.2 sec');
  expect(en.duration(600_000)).toBe('10 min');
});
