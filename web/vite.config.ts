import { fileURLToPath } from 'node:url';

import tailwindcss from '@tailwindcss/vite';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

/** The backend that the development server passes `/api` to. */
const BACKEND = process.env.KANADE_DEV_BACKEND ?? 'http://127.0.0.1:8443';
/** Shown to that backend as an operator's token, for working without a sign-in link. */
const TOKEN = process.env.KANADE_DEV_TOKEN;

const toBackend = {
  target: BACKEND,
  ...(TOKEN === undefined ? {} : { headers: { authorization: `Bearer ${TOKEN}` } }),
};

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: { alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) } },
  server: { proxy: { '/api': toBackend, '/healthz': toBackend } },
  build: {
    target: 'es2023',
    // Read by scripts/size.mjs, which also removes it.
    manifest: 'manifest.json',
    // The page's policy allows no inline script, and data addresses for pictures only.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
});
