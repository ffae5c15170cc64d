import { expect, test } from 'vitest';

import type { ResultView } from '@/api/types';

import { fold } from './fold';

let made = 0;

function result(pc: string, text: string, over: Partial<ResultView> = {}): ResultView {
  made += 1;
  const output = { head: text, stored_bytes: text.length, total_bytes: text.length };
  return {
    request_id: `r${made}`,
    exec_id: 'e',
    attempt: 1,
    pc_id: pc,
    outcome: 'ok',
    exit_code: 0,
    tries: 1,
    ended_at: '2026-01-01T00:00:00Z',
    stored_at: '2026-01-01T00:00:00Z',
    stdout: { ...output, sha256: text },
    stderr: { head: '', stored_bytes: 0, total_bytes: 0 },
    ...over,
  };
}

const shape = (results: ResultView[], ended: boolean, each = false) =>
  fold(results, ended, each).map((one) => one.results.map((row) => row.pc_id).join(' '));

test('equal answers are one, whoever gave them', () => {
  expect(shape([result('a', 'x'), result('b', 'y'), result('c', 'x')], true)).toEqual(['a c', 'b']);
});

test('another exit code or error output is another answer', () => {
  const failed = result('b', 'x', { outcome: 'failed', exit_code: 1 });
  expect(shape([result('a', 'x'), failed], false)).toEqual(['a', 'b']);
});

test('while it runs nothing moves; in the end failures come first, then the largest', () => {
  const results = [
    result('a', 'x'),
    result('b', 'y'),
    result('c', 'y'),
    result('d', 'z', { outcome: 'failed', exit_code: 3 }),
  ];
  expect(shape(results, false)).toEqual(['a', 'b c', 'd']);
  expect(shape(results, true)).toEqual(['d', 'b c', 'a']);
});

test('a result that came twice counts once, and a retry takes the place of the first attempt', () => {
  const first = result('a', 'x', { outcome: 'failed', exit_code: 1 });
  const again = result('a', 'x', { attempt: 1_700_000 });
  expect(shape([first, first, again], true)).toEqual(['a']);
  expect(fold([first, again], true, false)[0]?.first.outcome).toBe('ok');
  expect(fold([again, first], true, false)[0]?.first.outcome).toBe('ok');
});

test('unfolded, every PC stands alone', () => {
  expect(shape([result('a', 'x'), result('b', 'x')], true, true)).toEqual(['a', 'b']);
});
