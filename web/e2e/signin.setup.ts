import { expect, test as setup } from '@playwright/test';

import { SESSION } from './output';

setup('a link signs in once, and leaves no code in the address', async ({ page, context }) => {
  const link = process.env.KANADE_E2E_SIGNIN;
  if (link === undefined) throw new Error('KANADE_E2E_SIGNIN has no sign-in link');
  await page.goto('/');
  await expect(page.getByRole('heading', { name: 'Sign in' })).toBeVisible();
  await expect(page.getByText('kanade signin', { exact: true })).toBeVisible();

  // Pasted, for the link may name another address than the tests use.
  await page.getByLabel('Or paste the link or its code').fill(link);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(page.getByRole('heading', { name: 'Overview' })).toBeVisible();
  await context.storageState({ path: SESSION });

  const other = await context.browser()?.newContext();
  const stranger = await other?.newPage();
  const code = new URL(link).searchParams.get('signin') ?? '';
  await stranger?.goto(new URL(`/agents?signin=${code}`, page.url()).href);
  await expect(stranger?.getByRole('alert') ?? page.getByRole('alert')).toBeVisible();
  expect(stranger?.url()).not.toContain('signin');
  await other?.close();
});
