import { expect, test } from 'vitest';

import { codeIn } from './session';

test('a link and a bare code are both taken', () => {
  expect(codeIn(' https://kan1.example:8443/?signin=ab-12 ')).toBe('ab-12');
  expect(codeIn('http://127.0.0.1:8443/agents?x=1&signin=ab%2B12#top')).toBe('ab+12');
  expect(codeIn('ab-12\n')).toBe('ab-12');
});
