// Two users of one browser, and plain fetch: what Chromium's HTTP cache has of one never reaches the other, and nothing
// of it outlives the store.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { startBrowser, startServer } from './harness.mjs';

const SECRET = 'a secret of the tests, 32 bytes or more';
const URLS = ['/tasks', '/tasks?status=pending', '/tasks?limit=5', '/changes?since=0', '/summary', '/export'];
let browser;
before(async () => (browser = await startBrowser()));
after(() => browser?.close());

const start = (settings = {}) => startServer({ BETTER_AUTH_SECRET: SECRET, ...settings });
const tokenOf = (user) =>
  execFileSync(process.env.TASKLANE, ['token', '--user', user], { env: { BETTER_AUTH_SECRET: SECRET } }).toString().trim();

/** A call as a page makes it, with the browser's cache. */
const call = (page, path, token, init = {}) =>
  page.evaluate(
    async ([path, token, { method, body }]) => {
      const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
      const answer = await fetch(`/api/me${path}`, { method, body, headers });
      return { status: answer.status, lineage: answer.headers.get('x-tasklane-lineage'), text: await answer.text() };
    },
    [path, token, init],
  );
const create = (page, token, title) => call(page, '/tasks', token, { method: 'POST', body: JSON.stringify({ title }) });

/** How many answers were 304. */
async function unmodified(server) {
  const metrics = await (await fetch(`${server.address}/metrics`)).text();
  return [...metrics.matchAll(/status="304"\} (\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
}

async function open(context, server) {
  const page = await context.newPage();
  await page.goto(`${server.address}/docs`);
  return page;
}

test('the cache of one user is not the other’s, nor that of a store that was made again', async () => {
  const context = await browser.newContext();
  const [ann, bob] = ['ann', 'bob'].map(tokenOf);
  let server = await start();
  const port = new URL(server.address).port;
  try {
    let page = await open(context, server);
    await create(page, ann, 'of ann');
    await create(page, bob, 'of bob');
    for (const path of URLS) {
      const first = await call(page, path, ann);
      const before = await unmodified(server);
      assert.deepEqual((await call(page, path, ann)).status, 200);
      const tagged = path !== '/summary' && path !== '/export';
      assert.equal(await unmodified(server), before + Number(tagged), `${path} is kept and revalidated`);
      const other = await call(page, path, bob);
      assert.equal(other.status, 200);
      assert.notEqual(other.lineage, first.lineage);
      assert.ok(!other.text.includes('of ann'), `${path}: ${other.text}`);
      if (tagged) assert.ok(other.text.includes('of bob') && first.text.includes('of ann'), path);
      assert.ok(!(await call(page, path, ann)).text.includes('of bob'), path);
    }
    await page.close();
    await server.stop();
    // The folder is gone: a new store at the same address, with as many writes.
    server = await start({ PORT: port });
    page = await open(context, server);
    await create(page, ann, 'of another life');
    for (const path of URLS) assert.ok(!(await call(page, path, ann)).text.includes('of ann'), path);
  } finally {
    await server.stop();
    await context.close();
  }
});
