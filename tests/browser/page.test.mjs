// The demo page in a real browser: what a person can do on it, online and offline, in one window and in two.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { becomes, checkAccess, expiredToken, startBrowser, startServer, watch } from './harness.mjs';

let server, browser, context, page, faults;
before(async () => {
  server = await startServer();
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});
beforeEach(async () => {
  await erase();
  faults = [];
  context = await browser.newContext({ viewport: { width: 1100, height: 760 } });
  page = await open();
});
afterEach(async () => {
  await context.close();
  assert.deepEqual(faults, [], 'the page had errors');
});

const call = (path, options = {}) =>
  fetch(`${server.address}/api/me${path}`, {
    ...options,
    headers: { Authorization: `Bearer ${server.token}`, 'Content-Type': 'application/json', ...options.headers },
  });
const erase = () => call('', { method: 'DELETE', headers: { 'X-Confirm-Delete': 'demo' } });
const stored = async () => (await (await call('/tasks')).json()).tasks;

/** A window of the page, ready; an error in its log or a request to another host fails the test. */
async function open({ in: place = context } = {}) {
  const page = await place.newPage();
  watch(page, server, faults);
  await page.goto(server.page);
  await state(page, 'live');
  return page;
}

const state = (page, name) => page.waitForSelector(`#status[data-state=${name}]`);
const row = (page, title) => page.locator('#list > li', { hasText: title });
const titles = (page) => page.locator('#list .title').allTextContents();
const count = (page, view) => page.locator(`[data-view=${view}] .count`);

async function add(page, title, more = {}) {
  await page.fill('#new-title', title);
  if (more.priority) await page.selectOption('#add [name=priority]', more.priority);
  if (more.due) await page.fill('#add [name=due_date]', more.due);
  if (more.tags) await page.fill('#add [name=tags]', more.tags);
  await page.press('#new-title', 'Enter');
  await row(page, title).waitFor();
}

test('a task is added with all its fields, and is in the store', async () => {
  await add(page, 'Send the invoice', { priority: 'high', due: '2020-01-31', tags: 'work, money,work' });
  await becomes(async () => (await stored()).map(({ title, priority, due_date, tags }) => ({ title, priority, due_date, tags })), [
    { title: 'Send the invoice', priority: 'high', due_date: '2020-01-31', tags: ['work', 'money'] },
  ]);
  await becomes(() => row(page, 'invoice').locator('.meta span').allTextContents(), ['high', 'overdue: Jan 31, 2020', '#work', '#money']);
  await becomes(() => count(page, 'overdue').textContent(), '1');
});

test('a task is edited, and a cancelled edit changes nothing', async () => {
  await add(page, 'Buy milk');
  await page.getByRole('button', { name: 'Edit: Buy milk' }).click();
  await page.fill('.editor [name=title]', 'Buy oat milk');
  await page.fill('.editor [name=description]', 'Two litres');
  await page.fill('.editor [name=due_date]', '2031-05-01');
  await page.getByRole('button', { name: 'Save' }).click();
  await becomes(async () => (await stored()).map((task) => [task.title, task.description, task.due_date]), [['Buy oat milk', 'Two litres', '2031-05-01']]);
  await page.getByRole('button', { name: 'Edit: Buy oat milk' }).click();
  await page.fill('.editor [name=title]', 'Something else');
  await page.keyboard.press('Escape');
  assert.deepEqual(await titles(page), ['Buy oat milk']);
});

test('a completed task shows at once, counts, and never flickers while slow answers come in', async () => {
  await add(page, 'First');
  await add(page, 'Second');
  await becomes(() => count(page, 'open').textContent(), '2');
  // Every answer is late, so that old ones arrive after new clicks.
  let late = 0;
  await page.route('**/api/**', async (route) => {
    const answer = await route.fetch().catch(() => null);
    await new Promise((resolve) => setTimeout(resolve, late++ % 2 ? 60 : 250));
    if (answer) await route.fulfill({ response: answer }).catch(() => {});
  });
  // Only the person's own clicks may change the box: the page records every state it has.
  await page.evaluate(() => {
    const box = document.querySelector('#list > li input');
    globalThis.seen = [box.checked];
    const note = () => {
      if (box.checked !== globalThis.seen.at(-1)) globalThis.seen.push(box.checked);
      requestAnimationFrame(note);
    };
    note();
  });
  const box = row(page, 'Second').locator('input');
  for (const wanted of [true, false, true]) {
    await box.click();
    assert.equal(await box.isChecked(), wanted);
    await page.waitForTimeout(50);
  }
  await becomes(async () => (await stored()).map((task) => task.completed), [true, false]);
  await becomes(() => count(page, 'done').textContent(), '1');
  await page.unroute('**/api/**');
  assert.deepEqual(await page.evaluate(() => globalThis.seen), [false, true, false, true]);
});

test('filters, tags, priority, search and sorting show the right tasks', async () => {
  const today = await page.evaluate(() => new Date().toLocaleDateString('sv'));
  await add(page, 'Alpha', { priority: 'low', tags: 'home' });
  await add(page, 'Beta', { priority: 'high', due: today, tags: 'work' });
  await add(page, 'Gamma', { due: '2020-01-01', tags: 'work' });
  await row(page, 'Alpha').locator('input').click();
  const view = (name) => page.locator(`[data-view=${name}]`).click();
  await becomes(() => page.locator('#views .count').allTextContents(), ['3', '2', '1', '1', '1']);
  for (const [name, expected] of [['open', ['Gamma', 'Beta']], ['today', ['Beta']], ['overdue', ['Gamma']], ['done', ['Alpha']], ['all', ['Gamma', 'Beta', 'Alpha']]]) {
    await view(name);
    await becomes(() => titles(page), expected);
  }
  await page.locator('#tags button', { hasText: '#work' }).click();
  await becomes(() => titles(page), ['Gamma', 'Beta']);
  await page.selectOption('#priority', 'high');
  await becomes(() => titles(page), ['Beta']);
  await page.selectOption('#priority', '');
  await page.locator('#tags button', { hasText: '#work' }).click();
  await page.selectOption('#sort', 'priority');
  await becomes(() => titles(page), ['Beta', 'Alpha', 'Gamma']);
  await page.selectOption('#sort', 'due');
  await becomes(() => titles(page), ['Gamma', 'Beta', 'Alpha']);
  await page.fill('#search', 'HOME');
  await becomes(() => titles(page), ['Alpha']);
  await page.fill('#search', 'nothing like it');
  await page.getByText('No task fits these filters.').waitFor();
});

test('a deleted task comes back as it was, with its id and times', async () => {
  await add(page, 'Keep me', { priority: 'medium', tags: 'a, b' });
  await add(page, 'Newer');
  await becomes(async () => (await stored()).length, 2);
  const former = (await stored()).find(({ title }) => title === 'Keep me');
  await page.getByRole('button', { name: 'Delete: Keep me' }).click();
  await becomes(async () => (await stored()).map(({ title }) => title), ['Newer']);
  await page.getByRole('button', { name: 'Undo' }).click();
  await becomes(async () => (await stored()).length, 2);
  const { version, ...back } = (await stored()).find(({ title }) => title === 'Keep me');
  assert.deepEqual({ ...back, version: former.version }, former);
  assert.ok(version > former.version);
  assert.deepEqual(await titles(page), ['Newer', 'Keep me']);
});

test('everything can be done with the keyboard', async () => {
  await page.keyboard.press('n');
  await page.keyboard.type('By hand');
  await page.keyboard.press('Enter');
  await page.keyboard.press('Escape');
  await page.keyboard.press('j');
  await page.keyboard.press('x');
  await becomes(async () => (await stored()).map((task) => task.completed), [true]);
  await page.keyboard.press('e');
  await page.keyboard.type('By hand again');
  await page.keyboard.press('Enter');
  await becomes(async () => (await stored()).map((task) => task.title), ['By hand again']);
  await page.keyboard.press('Escape');
  await page.keyboard.press('j');
  await page.keyboard.press('Delete');
  await becomes(async () => (await stored()).length, 0);
  await page.keyboard.press('Escape');
  await page.keyboard.press('z');
  await becomes(async () => (await stored()).length, 1);
  await page.keyboard.press('?');
  await page.getByRole('dialog').waitFor();
});

test('two windows agree', async () => {
  const other = await open({ in: await browser.newContext() });
  try {
    await add(page, 'Seen in both');
    await row(other, 'Seen in both').waitFor();
    await row(other, 'Seen in both').locator('input').click();
    await row(page, 'Seen in both').and(page.locator('.done')).waitFor();
    await becomes(() => count(page, 'done').textContent(), '1');
    await page.getByRole('button', { name: 'Delete: Seen in both' }).click();
    await becomes(() => titles(other), []);
  } finally {
    await other.context().close();
  }
});

test("offline changes are sent once when the network is back, and others' changes appear", async () => {
  await add(page, 'Before');
  await becomes(async () => (await stored()).length, 1);
  await context.setOffline(true);
  await state(page, 'offline');
  await add(page, 'Meanwhile');
  await row(page, 'Before').locator('input').click();
  await page.getByText('Offline, 2 waiting').waitFor();
  await call('/tasks', { method: 'POST', body: '{"title":"By another"}' });
  const asked = [];
  page.on('request', (request) => asked.push(`${request.method()} ${new URL(request.url()).pathname}`));
  await context.setOffline(false);
  await state(page, 'live');
  await becomes(async () => (await stored()).map(({ title, completed }) => [title, completed]), [['Meanwhile', false], ['By another', false], ['Before', true]]);
  await becomes(async () => (await titles(page)).sort(), ['Before', 'By another', 'Meanwhile']);
  assert.ok(asked.includes('GET /api/me/changes'), asked.join());
  assert.equal(await page.evaluate(() => Object.keys(localStorage).filter((name) => name.includes('write')).length), 0);
});

test('a reload loses nothing, neither what is stored nor what is not yet sent', async () => {
  await add(page, 'Stored');
  await becomes(async () => (await stored()).length, 1);
  const keys = new Set();
  // The server carries it out, but its answer is lost: the page must send it again, under the same key.
  await page.route('**/api/me/tasks', async (route) => {
    if (route.request().method() !== 'POST') return route.continue();
    keys.add(route.request().headers()['idempotency-key']);
    await route.fetch();
    await route.abort();
  });
  await add(page, 'In doubt');
  await becomes(async () => (await stored()).length, 2);
  await page.reload();
  await state(page, 'live');
  await becomes(() => titles(page), ['In doubt', 'Stored']);
  const replayed = [];
  page.on('response', async (answer) => {
    if (answer.request().method() === 'POST' && answer.url().endsWith('/tasks')) {
      keys.add(answer.request().headers()['idempotency-key']);
      replayed.push(answer.headers()['idempotent-replayed']);
    }
  });
  await page.unroute('**/api/me/tasks');
  await becomes(() => replayed, ['true']);
  assert.equal(keys.size, 1);
  assert.equal((await stored()).length, 2);
});

test('an expired token is replaced silently, and a pasted one is used where the server gives none', async () => {
  let given = 0;
  await page.evaluate((token) => sessionStorage.setItem('tasklane.token', token), expiredToken(server));
  await page.route('**/demo/token', (route) => (given++, route.continue()));
  await page.reload();
  await state(page, 'live');
  await add(page, 'With another token');
  await becomes(async () => (await stored()).length, 1);
  assert.ok(given >= 1);
  await page.unroute('**/demo/token');
  await page.route('**/demo/token', (route) => route.fulfill({ status: 404, json: {} }));
  await page.evaluate(() => sessionStorage.clear());
  await page.reload();
  await page.getByText('This page hands out tokens only on the machine').waitFor();
  await page.fill('#token', server.token);
  await page.getByRole('button', { name: 'Use it' }).click();
  await state(page, 'live');
  await becomes(() => titles(page), ['With another token']);
});

test('a write that the server refuses is undone and reported', async () => {
  await page.route('**/api/me/tasks', (route) =>
    route.request().method() === 'POST'
      ? route.fulfill({ status: 422, json: { detail: 'Not like that', error: { code: 'VALIDATION_ERROR', details: null } } })
      : route.continue());
  await page.fill('#new-title', 'Refused');
  await page.press('#new-title', 'Enter');
  await page.getByText('The server refused a change: Not like that').waitFor();
  await becomes(() => titles(page), []);
});

for (const colorScheme of ['light', 'dark']) {
  for (const width of [1100, 400]) {
    test(`it is accessible: ${colorScheme}, ${width} pixels`, async () => {
      const other = await browser.newContext({ colorScheme, viewport: { width, height: 800 } });
      const page = await open({ in: other });
      try {
        await checkAccess(page, 'empty');
        await page.click('#examples');
        await becomes(async () => (await stored()).length, 4);
        await row(page, 'Buy milk').locator('input').click();
        await becomes(() => count(page, 'done').textContent(), '1');
        await page.getByRole('button', { name: 'Edit: Repot the ficus' }).click();
        await page.getByRole('button', { name: 'Delete: Book the train' }).click();
        await checkAccess(page, 'in use');
        await page.click('#help-open');
        await checkAccess(page, 'help');
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(wide <= width, `it is ${wide} pixels wide`);
      } finally {
        await other.close();
      }
    });
  }
}
