import { expect, test } from '@playwright/test';

import { isAccessible, onlinePcs, runScript } from './pages';

test('a script runs on picked PCs, and their answers arrive by themselves, in colour', async ({
  page,
}) => {
  const [pc = ''] = await onlinePcs(page);
  await page.goto('/run');
  await expect(page.getByText('Nobody yet')).toBeVisible();
  await isAccessible(page);
  await page
    .getByLabel('Script to run on each PC')
    .fill(String.raw`printf '\033[31mred\033[0m plain'`);
  await page.getByRole('combobox', { name: 'Add a group or PC' }).fill(pc);
  await page.getByRole('option', { name: pc }).first().click();
  await expect(page.getByText('1 PC, all online')).toBeVisible();
  await page.getByRole('button', { name: 'Run on 1 PC' }).click();

  const output = page.getByRole('group', { name: 'Output' });
  await expect(output).toHaveText('red plain');
  const red = output.getByText('red', { exact: true });
  const plain = output.getByText('plain');
  const color = (element: Element) => getComputedStyle(element).color;
  expect(await red.evaluate(color)).not.toBe(await plain.evaluate(color));
  await isAccessible(page);
});

test('equal answers are folded, and what failed can be retried', async ({ page }) => {
  const pcs = await onlinePcs(page);
  const mark = `/tmp/kanade-e2e-${Date.now()}`;
  // Fails the first time on each PC, and is fine the second time.
  await runScript(
    page,
    `f=${mark}-$KANADE_PC; test -e $f || { touch $f; echo first; exit 3; }; rm $f; echo second`,
    pcs,
  );
  await expect(page.getByRole('list', { name: 'Progress' })).toHaveText(`${pcs.length}failed`);
  await expect(page.getByText('exit 3').first()).toBeVisible();
  if (pcs.length > 1) {
    await page.getByRole('button', { name: 'Fold equal results' }).click();
    await expect(page.getByRole('button', { name: 'Show each PC' })).toBeVisible();
  }
  await page.getByRole('button', { name: 'Retry', exact: true }).click();
  await page.getByLabel('Reason, for the audit log').fill('the first time always fails');
  await page
    .getByRole('dialog')
    .getByRole('button', { name: /^Retry \d+ PC/ })
    .click();
  await expect(page.getByRole('dialog')).toBeHidden();
  await expect(page.getByRole('group', { name: 'Output' }).first()).toHaveText('second');
  await expect(page.getByText('exit 3')).toHaveCount(0);
});

test('a run shows its output live, and is killed with a word on what that met', async ({
  page,
}) => {
  const [pc = ''] = await onlinePcs(page);
  await runScript(page, 'echo started; sleep 300', [pc]);
  await page.getByRole('button', { name: 'Live output' }).click();
  await expect(page.getByRole('group', { name: /^Live output/ })).toContainText('started');
  await page.getByRole('button', { name: 'Kill' }).click();
  const dialog = page.getByRole('dialog', { name: 'Kill on 1 PC' });
  await isAccessible(page);
  await dialog.getByRole('button', { name: 'Kill' }).click();
  await expect(page.getByText('1 PC told to end it')).toBeVisible();
  await expect(page.getByRole('list', { name: 'Progress' })).toContainText('killed');
});

test('every PC of an exec is listed with its state, and the details lead on', async ({ page }) => {
  const [pc = ''] = await onlinePcs(page);
  await runScript(page, 'true', [pc]);
  await page.getByRole('link', { name: 'PCs', exact: true }).click();
  await expect(page.getByRole('row', { name: new RegExp(pc) })).toContainText('ok');
  await isAccessible(page);
  await page.getByRole('link', { name: 'Details' }).click();
  await expect(page.getByText(/kanade describe exec [0-9a-f]{12}/)).toBeVisible();
  await isAccessible(page);
});
