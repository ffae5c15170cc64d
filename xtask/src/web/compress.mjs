// Writes `x.br` and `x.gz` beside each text file of the dashboard, as small as they get.
//
// The backend sends them as they are, so that no request waits for a compressor. A form that
// saves little is left out.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const TEXTS = new Set(['.css', '.html', '.js', '.json', '.mjs', '.svg', '.txt', '.webmanifest']);
const WORTH = 0.9;

const folder = process.argv.at(-1);
for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !TEXTS.has(extname(entry.name))) continue;
  const path = join(entry.parentPath ?? entry.path, entry.name);
  const plain = readFileSync(path);
  const brotli = brotliCompressSync(plain, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_SIZE_HINT]: plain.length,
    },
  });
  const forms = { '.br': brotli, '.gz': gzipSync(plain, { level: constants.Z_BEST_COMPRESSION }) };
  for (const [suffix, form] of Object.entries(forms)) {
    if (form.length < plain.length * WORTH) writeFileSync(path + suffix, form);
  }
}
