import AxeBuilder from '@axe-core/playwright';
import { expect, type Page } from '@playwright/test';

/** Fails with what axe finds on the page, in light and in dark. */
export async function isAccessible(page: Page): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    await expect(page.locator('html')).toHaveAttribute('data-theme', colorScheme);
    const { violations } = await new AxeBuilder({ page }).analyze();
    const told = violations.map(({ id, nodes }) => ({
      id,
      where: nodes.map((node) => node.html),
      why: nodes[0]?.failureSummary,
    }));
    expect(told, `axe in ${colorScheme}`).toEqual([]);
  }
}

/** The names of PCs that are online, by the list of agents. */
export async function onlinePcs(page: Page): Promise<string[]> {
  await page.goto('/agents?presence=online');
  const table = page.getByRole('region', { name: 'Agents, table' });
  await expect(table.getByRole('link').first()).toBeVisible();
  return table.getByRole('link').allInnerTexts();
}

/** Runs a script on some PCs through the form; ends on the page of the exec. */
export async function runScript(page: Page, script: string, pcs: string[]): Promise<void> {
  await page.goto(`/run?pcs=${pcs.join(',')}`);
  await page.getByLabel('Script to run on each PC').fill(script);
  const count = pcs.length === 1 ? '1 PC' : `${pcs.length} PCs`;
  await page.getByRole('button', { name: `Run on ${count}` }).click();
  await expect(page.getByRole('link', { name: 'Results' })).toBeVisible();
}
