// A server for the tests, as a newcomer starts it, and Debian's Chromium.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

/** Starts the binary in an empty folder: its address, the page's with its key, and the token it prints. */
export async function startServer(settings = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'tasklane-'));
  const env = { PATH: process.env.PATH, PORT: '0', ...settings };
  const child = spawn(process.env.TASKLANE, ['serve'], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const stop = async () => {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await ended;
    clearTimeout(timer);
    rmSync(folder, { recursive: true });
  };
  let said = '';
  const greeting = new Promise((resolve, reject) => {
    const read = (part) => {
      said += part;
      const address = said.match(/is listening on (http:\S+)/)?.[1];
      const token = said.match(/TOKEN=(\S+)\n/)?.[1];
      const page = said.match(/ page +(http:\S+)/)?.[1];
      if (address && token) resolve({ address, page, token });
    };
    child.stdout.setEncoding('utf8').on('data', read);
    child.stderr.setEncoding('utf8').on('data', (part) => (said += part));
    ended.then(() => reject(new Error(`the server ended:\n${said}`)));
    setTimeout(() => reject(new Error(`no greeting:\n${said}`)), 60_000).unref();
  });
  const started = await greeting.catch(async (error) => (await stop(), Promise.reject(error)));
  return { ...started, folder, stop };
}

/** A browser that can reach no other host than this one. */
export function startBrowser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost'],
  });
}

/** Records a page's errors, and its requests to anywhere but the server and its own site. */
export function watch(page, server, faults, site = server.address) {
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('console', (message) => {
    // A browser logs each error answer, whether or not the page handles it.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) faults.push(message.text());
  });
  page.on('request', (request) => {
    const own = [server.address, site, 'data:', 'blob:'].some((start) => request.url().startsWith(start));
    if (!own) faults.push(`asks for ${request.url()}`);
  });
}

/** Waits, but not for ever, until `look` returns what is expected. */
export async function becomes(look, expected) {
  let seen;
  for (let round = 0; round < 600; round++) {
    seen = await look();
    try {
      return assert.deepEqual(seen, expected);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  assert.deepEqual(seen, expected);
}

/** Checks a page with axe-core. */
export async function checkAccess(page, what) {
  await page.evaluate(readFileSync(new URL('node_modules/axe-core/axe.min.js', import.meta.url), 'utf8'));
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const told = violations.map(({ id, nodes }) => `${what}: ${id}: ${nodes.map(({ html }) => html).join(' ')}`);
  assert.deepEqual(told, []);
}

/** A token of the server's demo user that was valid until a minute ago. */
export function expiredToken(server) {
  const secret = readFileSync(join(server.folder, 'data/development-secret'), 'utf8').trim();
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: 'demo', exp: Math.floor(Date.now() / 1000) - 60 })}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}
