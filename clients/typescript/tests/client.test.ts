/** The calls: every operation, safe retries, conditions, tokens, aborts, the stream. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { Tasklane, TasklaneError, uuid } from '../src/index.js';
import { bent, lost, refused, startServer, type Server } from './server.js';

let server: Server;
beforeAll(async () => void (server = await startServer()));
afterAll(() => server.stop());

const failure = async (call: Promise<unknown>) => {
  const error = await call.then(() => null, (error: unknown) => error);
  expect(error).toBeInstanceOf(TasklaneError);
  return error as TasklaneError;
};

test('there is a method for every operation of the document', () => {
  const document = JSON.parse(readFileSync('../../openapi.json', 'utf8'));
  const ids = Object.values(document.paths).flatMap((item) => Object.values(item as object).map(({ operationId }) => operationId as string));
  const names = ids.filter((id) => id !== 'update_task_by_put').map((id) => id.replace(/_(\w)/g, (_, letter) => letter.toUpperCase()));
  expect(names.length).toBeGreaterThan(15);
  const client = new Tasklane({ token: '' });
  for (const name of names) expect(client, name).toHaveProperty(name, expect.any(Function));
});

test('every call does what its name says', async () => {
  const client = server.client('every call');
  expect((await client.getHealth()).data.status).toBe('healthy');
  expect((await client.getReady()).data.status).toBe('ready');
  expect((await client.getTest()).data.user.id).toBe('every call');
  const id = uuid();
  const made = await client.createTask({ id, title: ' Buy milk ', tags: ['home'], due_date: '2020-01-31' });
  expect(made).toMatchObject({ status: 201, seq: 1, etag: expect.stringMatching(/^"1-[\w-]{12}"$/), replayed: false, data: { id, title: 'Buy milk', version: 1 } });
  expect((await client.updateTask(id, { priority: 'high' })).data.priority).toBe('high');
  expect((await client.completeTask(id)).data.completed).toBe(true);
  expect((await client.completeTask(id, false)).data.completed).toBe(false);
  expect((await client.getTask(id)).data.version).toBe(4);
  expect((await client.listTasks({ tag: ['home'], status: 'pending', sort: '-priority', limit: 5 })).data.total).toBe(1);
  expect((await client.listTasks({ tag: ['home', 'garden'] })).data.total).toBe(0);
  expect((await client.getSummary({ tz: 'Europe/Berlin' })).data).toMatchObject({ open: 1, overdue: 1, seq: 4 });
  const batch = await client.createBatch([{ op: 'create', task: { title: 'Two' } }, { op: 'complete', id, completed: true }]);
  expect(batch.data.results.map(({ status }) => status)).toEqual([201, 200]);
  expect((await client.createTicket()).data.ticket).toMatch(/^[\w-]{43,}$/);
  const all = (await client.exportTasks()).data;
  expect(all.tasks).toHaveLength(2);
  expect((await client.deleteTask(id)).seq).toBe(7);
  expect((await client.listChanges({ since: 6 })).data).toMatchObject({ changes: [{ seq: 7, id, deleted: true }], has_more: false });
  expect((await client.deleteUser('every call')).status).toBe(204);
  expect((await client.importTasks(all)).data.imported).toBe(2);
});

test('a write whose answer is lost is sent again under its key and happens once', async () => {
  const net = bent();
  const client = server.client('lost', { fetch: net.fetch });
  net.turns.push(lost, lost);
  const made = await client.createTask({ title: 'Once' });
  expect(made.replayed).toBe(true);
  expect(made.seq).toBe(1);
  expect((await client.listTasks()).data.count).toBe(1);
  const keys = net.sent.slice(0, 3).map(({ headers }) => headers['Idempotency-Key']);
  expect(new Set(keys).size).toBe(1);
  expect(keys[0]).toMatch(/^[0-9a-f-]{36}$/);
  expect(net.sent[3]!.headers['Idempotency-Key']).toBeUndefined();
});

test('a 429 or 503 is retried after the time it asks for, and other refusals are final', async () => {
  const net = bent();
  const client = server.client('patient', { fetch: net.fetch, retries: 2 });
  net.turns.push(refused(503, { 'retry-after': '1' }), refused(429));
  const timers = vi.spyOn(globalThis, 'setTimeout');
  await client.createTask({ title: 'At last' });
  expect(timers.mock.calls.map(([, wait]) => wait)).toContain(1000);
  timers.mockRestore();
  net.turns.push(refused(502), refused(502), refused(502));
  expect(await failure(client.listTasks())).toMatchObject({ status: 502, code: 'UNKNOWN', passing: true });
  const wrong = await failure(client.createTask({ title: ' ' }));
  expect(wrong).toMatchObject({ status: 422, code: 'VALIDATION_ERROR', details: [{ field: 'title' }], passing: false });
  expect(wrong.requestId).toMatch(/\S/);
  expect(net.sent).toHaveLength(7);
});

test('tags avoid sending unchanged data, and guard writes', async () => {
  const client = server.client('tags');
  const first = await client.createTask({ title: 'One' });
  const list = await client.listTasks();
  const same = await client.listTasks({}, { known: list });
  expect(same).toMatchObject({ status: 304, unchanged: true });
  expect(same.data).toBe(list.data);
  await client.updateTask(first.data.id, { title: 'Two' }, { ifMatch: first.data.version });
  expect((await client.listTasks({}, { known: list })).data.tasks[0]!.title).toBe('Two');
  const late = await failure(client.updateTask(first.data.id, { title: 'Three' }, { ifMatch: first.etag! }));
  expect(late).toMatchObject({ status: 412, code: 'PRECONDITION_FAILED', details: { title: 'Two' } });
});

test('a refused token is replaced by a fresh one, once', async () => {
  const wishes: boolean[] = [];
  const good = server.token('renewed');
  const client = server.client('', { token: ({ fresh }) => (wishes.push(fresh), fresh ? good : 'stale') });
  await client.createTask({ title: 'With a fresh token' });
  expect(wishes).toEqual([false, true]);
  const hopeless = server.client('', { token: async () => 'never good' });
  expect(await failure(hopeless.listTasks())).toMatchObject({ status: 401, code: 'UNAUTHORIZED' });
});

test('an aborted call ends at once, even while it waits', async () => {
  const net = bent();
  const client = server.client('aborted', { fetch: net.fetch });
  const stop = new AbortController();
  net.turns.push(refused(503, { 'retry-after': '3600' }));
  const call = client.listTasks({}, { signal: stop.signal });
  setTimeout(() => stop.abort(), 20);
  await expect(call).rejects.toThrow('abort');
  expect(net.sent).toHaveLength(1);
});

test('the stream resumes after a lost connection, with every change once', async () => {
  const net = bent();
  const client = server.client('stream', { fetch: net.fetch });
  await client.createTask({ title: 'One' });
  await client.createTask({ title: 'Two' });
  // The first connection breaks after its first chunk; the second one is refused for a moment.
  net.turns.push(async (send) => {
    const answer = await send();
    const reader = answer.body!.getReader();
    const { value } = await reader.read();
    await reader.cancel();
    return new Response(new Blob([value!.slice()]).stream(), answer);
  }, refused(503));
  const other = server.client('stream');
  const stop = new AbortController();
  const seen: (number | string)[] = [];
  for await (const event of client.getEvents({ since: 0, signal: stop.signal })) {
    seen.push(event.type === 'change' ? event.seq : event.type);
    if (event.type === 'lost' && seen.filter((each) => each === 'lost').length === 2) void other.createTask({ title: 'Three' });
    if (event.type === 'change' && event.seq === 3) stop.abort();
  }
  expect(seen.filter((each) => typeof each === 'number')).toEqual([1, 2, 3]);
  expect(seen.filter((each) => each === 'lost').length).toBeGreaterThanOrEqual(2);
  expect(net.sent.filter(({ path }) => path.includes('events')).at(-1)!.path).toContain('since=2');
});

test('a stream that is not allowed throws', async () => {
  const client = server.client('', { token: 'never good' });
  await expect(client.getEvents().next()).rejects.toThrow('Invalid token');
});
