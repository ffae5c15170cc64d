import { expect, test } from '@playwright/test';

import { isAccessible, onlinePcs } from './pages';

test('Ctrl-K reaches a PC by its name', async ({ page }) => {
  const [pc = ''] = await onlinePcs(page);
  await page.keyboard.press('Control+k');
  const field = page.getByRole('combobox', { name: /Page, PC, group/ });
  await expect(field).toBeFocused();
  await field.fill(pc);
  await expect(page.getByRole('option', { name: pc }).first()).toBeVisible();
  await isAccessible(page);
  await page.getByRole('option', { name: pc }).first().click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(pc);
});

test('the language and the theme change at once and are remembered', async ({ page }) => {
  await page.goto('/');
  await page.getByRole('button', { name: 'Settings' }).click();
  await page.getByLabel('Dark').check();
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'dark');
  await page.getByLabel('日本語').click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('概要');
  await page.reload();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('概要');
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'dark');
  await expect(page.locator('html')).toHaveAttribute('lang', 'ja');
});

test('a lost connection is shown within three seconds, and heals by itself', async ({
  page,
  context,
}) => {
  await page.goto('/agents');
  const status = page.getByRole('banner').getByRole('status');
  await expect(status).toHaveText('Live');
  await context.setOffline(true);
  await expect(status).toContainText('Connection lost', { timeout: 3_000 });
  await isAccessible(page);
  await context.setOffline(false);
  await expect(status).toHaveText('Live');
});

test('tabs share one connection, and the next one takes over', async ({ page, context }) => {
  const streams = new Set<string>();
  context.on('request', (request) => {
    if (request.url().includes('/api/v1/events')) streams.add(request.frame().page().url());
  });
  await page.goto('/');
  const status = page.getByRole('banner').getByRole('status');
  await expect(status).toHaveText('Live');
  const second = await context.newPage();
  await second.goto('/execs');
  await expect(second.getByRole('banner').getByRole('status')).toHaveText('Live');
  expect([...streams].some((url) => url.includes('/execs'))).toBe(false);
  await page.close();
  await expect.poll(() => [...streams].some((url) => url.includes('/execs'))).toBe(true);
  await expect(second.getByRole('banner').getByRole('status')).toHaveText('Live');
});

test('on a phone the places are behind a menu', async ({ page }) => {
  await page.setViewportSize({ width: 390, height: 844 });
  await page.goto('/');
  await page.getByRole('button', { name: 'Open menu' }).click();
  await page.getByRole('dialog').getByRole('link', { name: 'Agents' }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'Agents' })).toBeVisible();
  const wide = () => document.documentElement.scrollWidth > document.documentElement.clientWidth;
  expect(await page.evaluate(wide)).toBe(false);
  await isAccessible(page);
});

test('an address that nobody has says so', async ({ page }) => {
  await page.goto('/no/such/page');
  await expect(page.getByText('There is no such page')).toBeVisible();
  await isAccessible(page);
});
