import { expect, test } from 'vitest';

import { stretches } from './ansi';

const ESC = '\u001b';

test('colours and weight come out as stretches of text', () => {
  const [red, plain] = stretches(`${ESC}[1;31mred${ESC}[0m plain`);
  expect(red).toMatchObject({ text: 'red', color: 'var(--ansi-red)', bold: true });
  expect(plain).toMatchObject({ text: ' plain', color: undefined, bold: false });
});

test('colours beyond the sixteen are computed', () => {
  expect(stretches(`${ESC}[38;5;196mx`)[0]?.color).toBe('rgb(255, 0, 0)');
  expect(stretches(`${ESC}[38;2;1;2;3mx`)[0]?.color).toBe('rgb(1, 2, 3)');
});

test('cursor moves and titles draw nothing', () => {
  const text = stretches(`${ESC}[2J${ESC}[1;1H${ESC}]0;title\u0007a${ESC}[Kb`).map(
    (one) => one.text,
  );
  expect(text.join('')).toBe('ab');
});

test('of a line that was written over, the last writing stays', () => {
  expect(
    stretches('10 %\r50 %\r100 %\ndone\r\n')
      .map((one) => one.text)
      .join(''),
  ).toBe('100 %\ndone\n');
});

test('markup in the text is text', () => {
  expect(stretches('<b>&amp;')[0]?.text).toBe('<b>&amp;');
});
