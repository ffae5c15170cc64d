import { expect, test } from 'vitest';

import { retryDelay } from './stream';
import { lacks, Wants } from './wants';

test('the leader listens to what all tabs want, each topic once', () => {
  const wants = new Wants();
  wants.set('a', ['execs', 'agents']);
  wants.set('b', ['execs', 'exec:1']);
  expect(wants.all()).toEqual(['agents', 'exec:1', 'execs']);
  wants.set('a', []);
  expect(wants.all()).toEqual(['exec:1', 'execs']);
});

test('a tab that is gone without a word is forgotten', () => {
  const wants = new Wants();
  wants.set('a', ['agents']);
  wants.set('b', ['execs']);
  wants.keep(new Set(['b']));
  expect(wants.all()).toEqual(['execs']);
});

test('only a topic that is missing makes a new connection', () => {
  expect(lacks(['agents', 'execs'], ['execs'])).toBe(false);
  expect(lacks(['execs'], ['execs', 'agents'])).toBe(true);
});

test('retries begin soon and never wait for more than five seconds', () => {
  expect(retryDelay(0, 1)).toBe(500);
  expect(retryDelay(0, 0)).toBe(250);
  expect(retryDelay(30, 1)).toBe(5_000);
});
