import { expect, test } from '@playwright/test';

import { isAccessible, onlinePcs, runScript } from './pages';

test('the overview counts the fleet and shows a new exec by itself', async ({ page, context }) => {
  const [pc = ''] = await onlinePcs(page);
  await page.goto('/');
  await expect(page.getByRole('link', { name: /\d+ online/ })).toBeVisible();
  const other = await context.newPage();
  const mark = `echo overview ${Date.now()}`;
  await runScript(other, mark, [pc]);
  await expect(page.getByRole('link', { name: mark }).first()).toBeVisible();
  await isAccessible(page);
});

test('new execs wait behind a count while the list is scrolled, and come when asked', async ({
  page,
}) => {
  const [pc = ''] = await onlinePcs(page);
  await page.setViewportSize({ width: 1024, height: 420 });
  await page.goto('/execs');
  const issue = (script: string) =>
    page.evaluate(
      async ([script, pc]) => {
        const what = { script: { shell: 'sh', script } };
        const body = JSON.stringify({ what, targets: { pcs: [pc] } });
        const headers = { 'content-type': 'application/json' };
        const answer = await fetch('/api/v1/execs', { method: 'POST', headers, body });
        if (!answer.ok) throw new Error(await answer.text());
      },
      [script, pc] as const,
    );
  for (let n = 0; n < 15; n += 1) await issue(`echo row ${n}`);
  await expect(page.getByRole('link', { name: 'echo row 14' })).toBeVisible();
  const list = page.getByRole('region', { name: 'Execs, table' });
  await list.evaluate((element) => element.scrollTo(0, 200));
  const mark = `echo late ${Date.now()}`;
  await issue(mark);
  await page.getByRole('button', { name: '1 new' }).click();
  await expect(page.getByRole('link', { name: mark })).toBeVisible();
});

test('agents are filtered in the address, sorted, and reached by keyboard', async ({ page }) => {
  await onlinePcs(page);
  await expect(page).toHaveURL(/presence=online/);
  await page.getByLabel('Search').fill('no-such-pc');
  await expect(page.getByText('Nothing matches these filters')).toBeVisible();
  await expect(page).toHaveURL(/search=no-such-pc/);
  await page.getByRole('button', { name: 'Clear filters' }).click();
  await page.getByRole('button', { name: 'PC', exact: true }).click();
  await expect(page.getByRole('columnheader', { name: 'PC' })).toHaveAttribute(
    'aria-sort',
    'descending',
  );
  await isAccessible(page);
  const first = await page.getByRole('table').getByRole('link').first().innerText();
  await page.getByRole('heading', { name: 'Agents' }).click();
  await page.keyboard.press('j');
  await page.keyboard.press('x');
  await expect(page.getByText('1 selected')).toBeVisible();
  await expect(page.getByRole('link', { name: 'Run on 1 PC' })).toBeVisible();
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(first);
});

test('one agent shows facts, its runs and its queue', async ({ page }) => {
  const [pc = ''] = await onlinePcs(page);
  await runScript(page, 'echo for the agent page', [pc]);
  await expect(page.getByRole('group', { name: 'Output' })).toBeVisible();
  await page.goto(`/agents/${pc}`);
  await expect(page.getByText('Agent version')).toBeVisible();
  await isAccessible(page);
  await page.getByRole('link', { name: 'Runs' }).click();
  await expect(page.getByText('for the agent page').first()).toBeVisible();
  await isAccessible(page);
  await page.getByRole('link', { name: 'Queue' }).click();
  await expect(page.getByText('Nothing waits for this PC')).toBeVisible();
  await runScript(page, 'sleep 301', [pc]);
  await expect(page.getByRole('list', { name: 'Progress' })).toContainText('running');
  const exec = page.url();
  await page.goto(`/agents/${pc}?tab=queue`);
  await expect(page.getByRole('row', { name: /sleep 301/ })).toContainText('running');
  await isAccessible(page);
  await page.goto(exec);
  await page.getByRole('button', { name: 'Kill' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Kill' }).click();
  await expect(page.getByRole('list', { name: 'Progress' })).toContainText('killed');
});

test('execs, jobs, groups and the audit log have something to read', async ({ page }) => {
  for (const [path, title] of [
    ['/execs', 'Execs'],
    ['/jobs', 'Jobs'],
    ['/groups', 'Groups'],
    ['/audit', 'Audit log'],
  ] as const) {
    await page.goto(path);
    await expect(page.getByRole('heading', { level: 1, name: title })).toBeVisible();
    await expect(page.getByText('Loading…')).toHaveCount(0);
    await isAccessible(page);
  }
});

test('the system page shows health, the broker, dead letters and gaps', async ({ page }) => {
  await page.goto('/system');
  await expect(page.getByText('the broker answers')).toBeVisible();
  await isAccessible(page);
  await page.getByRole('link', { name: 'Broker' }).click();
  await expect(page.getByRole('row', { name: /EXEC/ }).first()).toContainText('as it should be');
  await isAccessible(page);
  await page.getByRole('link', { name: 'Dead letters' }).click();
  await expect(page.getByText('No dead letters')).toBeVisible();
  await page.getByRole('link', { name: 'Gaps' }).click();
  await expect(page.getByText('No gaps')).toBeVisible();
});
