// The documentation's pages in a real browser that can reach no other host.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startBrowser, startServer, watch } from './harness.mjs';

let server, browser;
before(async () => {
  server = await startServer();
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

async function open(path) {
  const faults = [];
  const page = await browser.newPage({ viewport: { width: 1100, height: 760 } });
  watch(page, server, faults);
  await page.goto(server.address + path);
  return { page, faults };
}

test('Swagger UI takes the printed token and makes a call', async () => {
  const { page, faults } = await open('/docs');
  await page.locator('.auth-wrapper .authorize').click();
  await page.locator('.auth-container input').first().fill(server.token);
  await page.locator('.auth-container button.authorize').first().click();
  await page.locator('.btn-done').first().click();
  const operation = page.locator('#operations-tasks-create_task');
  await operation.locator('.opblock-summary-control').click();
  await operation.getByRole('button', { name: 'Try it out' }).click();
  await operation.getByRole('button', { name: 'Execute' }).click();
  const answer = operation.locator('.live-responses-table .response');
  await answer.locator('.response-col_status', { hasText: '201' }).waitFor();
  const text = await answer.locator('.response-col_description').first().textContent();
  assert.match(text, /"title": "Buy milk"/);
  assert.deepEqual(faults, []);
});

test('Redoc shows every operation and can be searched', async () => {
  const { page, faults } = await open('/redoc');
  await page.getByRole('heading', { name: 'List the tasks' }).waitFor();
  const { paths } = await (await fetch(`${server.address}/openapi.json`)).json();
  const shown = await page.locator('[id^="tag/"][id*="/operation/"], [id^="operation/"]').count();
  const wanted = Object.values(paths).reduce((sum, item) => sum + Object.keys(item).length, 0);
  assert.ok(shown >= wanted, `${shown} of ${wanted} operations are shown`);
  await page.getByPlaceholder('Search').fill('ticket');
  await page.locator('[data-role="search:results"] li', { hasText: 'ticket' }).first().waitFor();
  assert.deepEqual(faults, []);
});
