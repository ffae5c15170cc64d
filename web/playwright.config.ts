import { existsSync } from 'node:fs';

import { defineConfig } from '@playwright/test';

import { OUTPUT, SESSION } from './e2e/output';

/** A system's own browser, where there is one; Playwright's download is not reachable everywhere. */
const CHROMIUM = '/usr/bin/chromium';

const url = process.env.KANADE_E2E_URL;

/**
 * Tests of the dashboard in a real browser, on a real backend with real agents.
 *
 * Whoever starts that backend says where it is (`KANADE_E2E_URL`) and gives a link that signs in
 * once (`KANADE_E2E_SIGNIN`); without them there is nothing to test.
 */
export default defineConfig({
  testDir: './e2e',
  ...(url === undefined ? { testIgnore: '**' } : {}),
  outputDir: OUTPUT,
  // One backend and its agents serve all tests, and a browser needs a core.
  workers: 1,
  retries: 0,
  timeout: 60_000,
  expect: { timeout: 15_000 },
  reporter: 'list',
  forbidOnly: true,
  projects: [
    { name: 'sign in', testMatch: 'signin.setup.ts' },
    {
      name: 'pages',
      testMatch: '*.spec.ts',
      dependencies: ['sign in'],
      use: { storageState: SESSION },
    },
  ],
  use: {
    ...(url === undefined ? {} : { baseURL: url }),
    locale: 'en',
    viewport: { width: 1440, height: 900 },
    trace: 'retain-on-failure',
    launchOptions: {
      ...(existsSync(CHROMIUM) ? { executablePath: CHROMIUM } : {}),
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-background-networking',
        '--disable-component-update',
        '--no-first-run',
      ],
    },
  },
});
