// Fails when what a first visit loads is too large: the shell, and the shell with any one page.
// Sizes are of the files as they travel, compressed by gzip.

import { readFileSync, rmSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const SHELL_KB = 120;
const PAGE_KB = 150;
const DIST = new URL('../dist/', import.meta.url);
const ENTRY = 'index.html';
/** One language is loaded with the shell; the largest of them counts. */
const LANGUAGE = /^src\/i18n\/(?!text|format)\w+\.ts$/;
const PAGE = /^src\/features\/.*Page\.tsx$/;

const manifest = JSON.parse(readFileSync(new URL('manifest.json', DIST), 'utf8'));
const sizes = new Map();

function size(file) {
    if (!sizes.has(file))
        sizes.set(file, gzipSync(readFileSync(new URL(file, DIST)), { level: 9 }).length);
    return sizes.get(file);
}

/** Every file that loading the chunk `key` makes the browser load. */
function filesOf(key, files = new Set()) {
    const chunk = manifest[key];
    if (files.has(chunk.file)) return files;
    files.add(chunk.file);
    for (const file of chunk.css ?? []) files.add(file);
    for (const one of chunk.imports ?? []) filesOf(one, files);
    return files;
}

const total = (files) => [...files].reduce((sum, file) => sum + size(file), 0);
const keys = Object.keys(manifest);
const languages = keys.filter((key) => LANGUAGE.test(key));
const largest = languages.toSorted((a, b) => size(manifest[b].file) - size(manifest[a].file))[0];
const shell = filesOf(ENTRY);
shell.add('index.html');
if (largest !== undefined) filesOf(largest, shell);

const rows = [['shell', total(shell), SHELL_KB]];
for (const key of keys.filter((key) => PAGE.test(key))) {
    rows.push([key.replace('src/features/', ''), total(filesOf(key, new Set(shell))), PAGE_KB]);
}
let failed = languages.length === 0 || rows.length === 1;
for (const [name, bytes, limit] of rows) {
    const over = bytes > limit * 1000;
    failed ||= over;
    console.log(
        `  ${(bytes / 1000).toFixed(1).padStart(6)} kB of ${limit}  ${name}${over ? '  TOO LARGE' : ''}`,
    );
}
rmSync(new URL('manifest.json', DIST));
if (failed) {
    console.error('the dashboard is too large, or its parts were not found');
    process.exit(1);
}
