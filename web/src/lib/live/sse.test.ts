import { expect, test } from 'vitest';

import { SseParser } from './sse';

test('events that arrive in pieces come out whole and in order', () => {
  const parser = new SseParser();
  expect(parser.push('id: 7\nevent: ag')).toEqual([]);
  expect(parser.push('ents\ndata: {"a":1}\n')).toEqual([]);
  expect(parser.push('\nevent: execs\ndata: {}\n\nid: 9')).toEqual([
    { id: '7', event: 'agents', data: '{"a":1}' },
    { id: undefined, event: 'execs', data: '{}' },
  ]);
});

test('comments that keep the connection open are no events', () => {
  expect(new SseParser().push(':\n\n:\n\n')).toEqual([]);
});

test('data over several lines is joined', () => {
  expect(new SseParser().push('data: a\ndata: b\n\n')).toEqual([
    { id: undefined, event: 'message', data: 'a\nb' },
  ]);
});
