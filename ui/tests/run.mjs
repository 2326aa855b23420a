// Drives the built UI in a real browser: list, client, read, write, execute, observe, queue, events, errors, lost connection;
// at 1440 and 390 px, light and dark. Every step asserts on what a person would see; pictures go to a folder.
//
//   node tests/run.mjs                      against the mock, which it starts and ends itself
//   DUNLIN_URL=http://127.0.0.1:8080 node tests/run.mjs    against a running `dunlin demo`
//   SHOTS=DIR   where pictures go (default: a new folder below the system's temporary one)
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { steps } from './steps.mjs';

const shots = process.env.SHOTS ?? mkdtempSync(join(tmpdir(), 'dunlin-ui-'));
mkdirSync(shots, { recursive: true });
const mockPort = 8093;
const real = process.env.DUNLIN_URL;
const base = real ?? `http://127.0.0.1:${mockPort}`;
const only = process.env.ONLY;

let mock = null;
function startMock(...more) {
  mock = spawn(process.execPath, [fileURLToPath(new URL('../mock/server.mjs', import.meta.url)), '--port', String(mockPort), '--minutes', '10', '--rhythm', '5,11', ...more], { stdio: ['ignore', 'pipe', 'inherit'] });
  return new Promise((ready, failed) => {
    mock.stdout.once('data', ready);
    mock.once('exit', failed);
  });
}
async function stopMock() {
  if (!mock) return;
  const gone = new Promise((done) => mock.once('exit', done));
  mock.kill();
  await gone;
  mock = null;
}

const looks = [
  { name: 'wide-light', width: 1440, height: 900, colorScheme: 'light' },
  { name: 'wide-dark', width: 1440, height: 900, colorScheme: 'dark' },
  { name: 'narrow-light', width: 390, height: 844, colorScheme: 'light' },
  { name: 'narrow-dark', width: 390, height: 844, colorScheme: 'dark' },
];

let failures = 0;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
// The whole run ends by itself, whatever hangs.
const end = setTimeout(() => (console.error('The run took too long.'), browser.close().finally(() => process.exit(1))), 9 * 60e3);
end.unref();

for (const look of looks) {
  const { name, width, height, colorScheme } = look;
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, deviceScaleFactor: Number(process.env.SCALE ?? 1), locale: 'en-GB', timezoneId: 'UTC' });
  const page = await context.newPage();
  page.setDefaultTimeout(8000);
  const faults = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && !/Failed to load resource|net::ERR/.test(message.text()) && faults.push(message.text()));
  const tools = {
    page,
    base,
    real: !!real,
    narrow: width < 720,
    assert,
    startMock,
    stopMock,
    shot: (what) => page.screenshot({ path: join(shots, `${name}-${what}.png`) }),
    fits: async () => {
      const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(over <= 0, `the page is ${over} px wider than the window`);
    },
  };
  if (!real) await startMock();
  for (const [title, step] of Object.entries(steps)) {
    if (only && !title.includes(only)) continue;
    faults.length = 0;
    const began = Date.now();
    try {
      await step(tools);
      assert.deepEqual(faults, [], 'the page threw errors');
      console.log(`ok    ${name}  ${title}  (${Date.now() - began} ms)`);
    } catch (error) {
      failures++;
      await tools.shot(`FAILED-${title.replace(/\W+/g, '-')}`).catch(() => undefined);
      console.log(`FAIL  ${name}  ${title}\n      ${String(error.message).split('\n').slice(0, 8).join('\n      ')}`);
    }
  }
  await context.close();
  await stopMock();
}
await browser.close();
console.log(`${failures ? `${failures} failed` : 'all passed'}; pictures in ${shots}`);
process.exit(failures ? 1 : 0);
