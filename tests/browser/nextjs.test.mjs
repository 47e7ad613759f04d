// The example of Next.js with Better Auth, built and used once: each user sees only their own tasks.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { becomes, startBrowser, startServer, watch } from './harness.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const example = join(root, 'examples/nextjs-better-auth');
const folder = mkdtempSync(join(tmpdir(), 'tasklane-'));
const undo = [() => rmSync(folder, { recursive: true })];
after(async () => {
  for (const step of undo.reverse()) await step();
});

/** A port that is free now: the site's address is part of its tokens, so it must be known before the site starts. */
const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

let site, tasklane, browser;
before(async () => {
  chmodSync(folder, 0o711); // PostgreSQL may have to run as another user.
  const postgres = (action) => execFileSync(join(root, 'scripts/postgres'), [action, join(folder, 'postgres')], { encoding: 'utf8' }).trim();
  const database = postgres('start').split('\n').at(-1);
  undo.push(() => postgres('stop'));
  site = `http://localhost:${await freePort()}`;
  tasklane = await startServer({ JWKS_URL: `${site}/api/auth/jwks`, JWT_ISSUER: site, JWT_AUDIENCE: site, ALLOWED_ORIGINS: site });
  undo.push(tasklane.stop);
  const env = {
    ...process.env,
    DATABASE_URL: database,
    BETTER_AUTH_URL: site,
    BETTER_AUTH_SECRET: 'a secret of the tests, 32 bytes or more',
    TASKLANE_URL: tasklane.address,
    NEXT_TELEMETRY_DISABLED: '1',
  };
  const next = join(example, 'node_modules/next/dist/bin/next');
  execFileSync(process.execPath, [next, 'build'], { cwd: example, env, stdio: ['ignore', 'ignore', 'inherit'] });
  const server = spawn(process.execPath, [next, 'start', '--port', new URL(site).port, '--hostname', 'localhost'], { cwd: example, env, stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = new Promise((resolve) => server.once('exit', resolve));
  undo.push(() => (server.kill('SIGTERM'), ended));
  await becomes(() => fetch(site).then(({ status }) => status, () => 0), 200);
  browser = await startBrowser();
  undo.push(() => browser.close());
});

test('each user sees only their own tasks', async () => {
  const faults = [];
  const context = await browser.newContext();
  const page = await context.newPage();
  watch(page, tasklane, faults, site);
  const enter = async (email, button) => {
    await page.getByLabel('E-mail').fill(email);
    await page.getByLabel('Password').fill('correct horse battery');
    await page.getByRole('button', { name: button }).click();
    await page.getByRole('heading', { name: `Tasks of ${email}` }).waitFor();
    await page.getByText('Live').waitFor();
  };
  const titles = async () => (await page.locator('li label').allTextContents()).map((text) => text.trim());

  await page.goto(site);
  await enter('ann@example.org', 'Sign up');
  await page.getByLabel('Title').fill("Ann's");
  await page.getByRole('button', { name: 'Add' }).click();
  await becomes(titles, ["Ann's"]);
  await page.getByRole('checkbox').click();
  await page.reload();
  await page.getByText('Live').waitFor();
  await becomes(titles, ["Ann's"]);
  assert.ok(await page.getByRole('checkbox').isChecked());

  await page.getByRole('button', { name: 'Sign out' }).click();
  await enter('bob@example.org', 'Sign up');
  assert.deepEqual(await titles(), []);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await enter('ann@example.org', 'Sign in');
  await becomes(titles, ["Ann's"]);
  assert.deepEqual(faults, []);
  await context.close();
});

test('events come through a rewrite of Next.js, which compresses, as they happen', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(site);
  await page.getByLabel('E-mail').fill('cleo@example.org');
  await page.getByLabel('Password').fill('correct horse battery');
  await page.getByRole('button', { name: 'Sign up' }).click();
  await page.getByText('Live').waitFor();
  const heard = await page.evaluate(async () => {
    const { token } = await (await fetch('/api/auth/token')).json();
    const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
    const stream = await fetch('/tasklane/api/events?since=0', { headers });
    const reader = stream.body.pipeThrough(new TextDecoderStream()).getReader();
    const until = async (part) => {
      for (let text = ''; !text.includes(part); ) {
        const { value, done } = await reader.read();
        if (done) throw new Error(`the stream ends before ${part}`);
        text += value;
      }
    };
    await until('event: hello');
    const made = await fetch('/tasklane/api/tasks', { method: 'POST', headers, body: '{"title":"through a rewrite"}' });
    await until('through a rewrite');
    await reader.cancel();
    return made.status;
  });
  assert.equal(heard, 201);
  await context.close();
});
