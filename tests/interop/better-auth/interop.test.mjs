// Tasklane with a real Better Auth: sign up, fetch a token, create, change and delete a task; keys that rotate; a provider
// that stops and restarts. TASKLANE names the binary. Every process listens on 127.0.0.1 and ends with its test.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const binary = process.env.TASKLANE ?? assert.fail('set TASKLANE to the binary, or run scripts/interop');
const issuer = fileURLToPath(new URL('issuer.mjs', import.meta.url));

/** Starts a process and waits for a line of `stream` from which `read` returns a value. */
async function start(t, command, args, options, stream, read) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const stop = async () => {
    child.kill('SIGTERM');
    await ended;
  };
  t.after(stop);
  let said = '';
  const found = new Promise((resolve, reject) => {
    for (const name of ['stdout', 'stderr']) {
      createInterface({ input: child[name] }).on('line', (line) => {
        said += `${line}\n`;
        const value = name === stream && read(line);
        if (value) resolve(value);
      });
    }
    ended.then((code) => reject(new Error(`${command} ended with ${code}:\n${said}`)));
  });
  return { ...(await found), stop, log: () => said };
}

const startIssuer = (t, ...args) =>
  start(t, process.execPath, [issuer, '--stdin', ...args], {}, 'stdout', (line) => line[0] === '{' && JSON.parse(line));

/** A Tasklane that trusts the provider at this address. */
async function startTasklane(t, base) {
  const folder = mkdtempSync(join(tmpdir(), 'tasklane-interop-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const env = {
    PORT: '0',
    ENVIRONMENT: 'production',
    DATABASE_URL: `sqlite://${join(folder, 'tasklane.db')}`,
    JWKS_URL: `${base}/api/auth/jwks`,
    JWT_ISSUER: base,
    JWT_AUDIENCE: base,
  };
  const listening = (line) => line[0] === '{' && JSON.parse(line).message === 'listening' && JSON.parse(line);
  return start(t, binary, [], { env, cwd: folder }, 'stderr', listening);
}

/** Calls Tasklane; returns status, body and headers. */
async function call(tasklane, token, path, method = 'GET', body = undefined) {
  const answer = await fetch(`${tasklane.address}/api/${path}`, {
    method,
    headers: { Authorization: `Bearer ${token}`, ...(body && { 'Content-Type': 'application/json' }) },
    body: body && JSON.stringify(body),
  });
  const text = await answer.text();
  return { status: answer.status, body: text ? JSON.parse(text) : null, headers: answer.headers };
}

/** Asks for the list until the status is as expected: a new key may take half a minute to be fetched. */
async function until(tasklane, token, status) {
  let answer;
  for (let tries = 0; tries < 160; tries += 1) {
    answer = await call(tasklane, token, 'me/tasks');
    if (answer.status === status) return answer;
    await sleep(250);
  }
  assert.fail(`never ${status}: ${JSON.stringify(answer.body)}`);
}

/** Another token of the same session, as a frontend fetches it when the last one expires. */
async function nextToken(provider) {
  const answer = await fetch(provider.token_url, { headers: { Authorization: `Bearer ${provider.session_token}` } });
  assert.equal(answer.status, 200);
  return (await answer.json()).token;
}

const header = (token) => JSON.parse(Buffer.from(token.split('.')[0], 'base64url'));

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

for (const alg of ['EdDSA', 'ES256', 'RS256']) {
  for (const ids of ['default', 'uuid']) {
    test(`a user signs up, signs in and works: ${alg}, ${ids} ids`, async (t) => {
      const provider = await startIssuer(t, '--alg', alg, '--ids', ids);
      const tasklane = await startTasklane(t, provider.base_url);
      const { token, user_id: user } = provider;
      assert.equal(header(token).alg, alg);
      assert.match(user, ids === 'uuid' ? /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/ : /^[A-Za-z0-9]{32}$/);

      const who = await call(tasklane, token, `${user}/test`);
      assert.deepEqual(who.body.user, { id: user, email: provider.email });
      assert.equal((await call(tasklane, token, `${user}/tasks`)).body.count, 0);
      const made = await call(tasklane, token, `${user}/tasks`, 'POST', { title: 'Water the plants' });
      assert.equal(made.status, 201, JSON.stringify(made.body));
      assert.equal(made.body.user_id, user);
      const list = await call(tasklane, token, 'me/tasks');
      assert.deepEqual(list.body.tasks, [made.body]);
      const path = `${user}/tasks/${made.body.id}`;
      const done = await call(tasklane, token, `${path}/complete`, 'PATCH');
      assert.deepEqual([done.status, done.body.completed], [200, true]);
      assert.equal((await call(tasklane, token, path, 'DELETE')).status, 204);
      assert.equal((await call(tasklane, token, path)).status, 404);

      // Not another user's path, and none of Better Auth's other signatures.
      assert.equal((await call(tasklane, token, `${randomUUID()}/tasks`)).status, 401);
      assert.ok(provider.session_cache, 'the session cookie has a JWT');
      assert.equal((await call(tasklane, provider.session_cache, 'me/tasks')).status, 401);
      assert.equal((await call(tasklane, provider.session_token, 'me/tasks')).status, 401);
      for (const part of token.split('.')) assert.ok(!tasklane.log().includes(part), 'a token is in the log');
    });
  }
}

test('keys rotate while it runs', async (t) => {
  const provider = await startIssuer(t, '--rotate', '1');
  const tasklane = await startTasklane(t, provider.base_url);
  assert.equal((await call(tasklane, provider.token, 'me/tasks', 'POST', { title: 'before' })).status, 201);
  await sleep(1500);
  const token = await nextToken(provider);
  assert.notEqual(header(token).kid, header(provider.token).kid);
  // The first unknown key is fetched at once; the retired one is still published and still valid.
  assert.equal((await call(tasklane, token, 'me/tasks')).body.count, 1);
  assert.equal((await call(tasklane, provider.token, 'me/tasks')).status, 200);
});

test('Better Auth restarts, first with its keys and then with new ones', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tasklane-issuer-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const port = await freePort();
  const kept = ['--port', String(port), '--state', join(folder, 'state.json')];
  const tasklane = await startTasklane(t, `http://127.0.0.1:${port}`);

  const first = await startIssuer(t, ...kept);
  await until(tasklane, first.token, 200);
  const unseen = await nextToken(first);
  await first.stop();
  // While it is down: a token that was accepted before, and a new token of a known key.
  assert.equal((await call(tasklane, first.token, 'me/tasks', 'POST', { title: 'while it is down' })).status, 201);
  assert.equal((await call(tasklane, unseen, 'me/tasks')).body.count, 1);

  const second = await startIssuer(t, ...kept, '--email', 'another@example.com');
  assert.equal(header(second.token).kid, header(first.token).kid);
  assert.equal((await call(tasklane, second.token, 'me/tasks')).body.count, 0);
  assert.equal((await call(tasklane, await nextToken(first), 'me/tasks')).body.count, 1);
  await second.stop();

  const third = await startIssuer(t, '--port', String(port));
  assert.notEqual(header(third.token).kid, header(first.token).kid);
  assert.equal((await until(tasklane, third.token, 200)).body.count, 0);
});

test('while the keys cannot be fetched, a token is neither accepted nor called invalid', async (t) => {
  const provider = await startIssuer(t);
  const tasklane = await startTasklane(t, `http://127.0.0.1:${await freePort()}`);
  const answer = await call(tasklane, provider.token, 'me/tasks');
  assert.equal(answer.status, 503);
  assert.match(answer.headers.get('retry-after'), /^\d+$/);
});
