import { expect, test } from 'vitest';

import { addChunk, NOTHING } from './tailText';

const chunk = (offset: number, stdout: string) => ({
  request_id: 'r',
  found: true,
  running: true,
  stdout_offset: offset,
  stdout,
  stderr_offset: 0,
  stderr: '',
});

test('pieces that overlap are put together once', () => {
  let text = addChunk(NOTHING, chunk(0, 'ab\n'));
  text = addChunk(text, chunk(0, 'ab\ncd\n'));
  text = addChunk(text, chunk(3, 'cd\n'));
  expect(text.stdout).toEqual({ text: 'ab\ncd\n', end: 6 });
});

test('offsets count bytes, not characters', () => {
  const text = addChunk(addChunk(NOTHING, chunk(0, 'é')), chunk(2, 'x'));
  expect(text.stdout).toEqual({ text: 'éx', end: 3 });
});

test('a hole is shown', () => {
  const text = addChunk(addChunk(NOTHING, chunk(0, 'a')), chunk(10, 'z'));
  expect(text.stdout.text).toBe('a\n…\nz');
});
