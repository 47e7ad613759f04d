/** The store: overlays that never flicker, writes that wait for a network, two stores that agree. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { TaskStore, uuid, type StoreOptions, type TasklaneOptions } from '../src/index.js';
import { bent, lost, refused, startServer, type Server } from './server.js';

let server: Server;
beforeAll(async () => void (server = await startServer()));
afterAll(() => server.stop());

async function follow(user: string, options: StoreOptions = {}, net: Partial<TasklaneOptions> = {}) {
  const store = new TaskStore(server.client(user, { retries: 0, ...net }), options);
  store.start();
  await vi.waitFor(() => expect(store.getSnapshot().live).toBe(true), 20_000);
  return store;
}
const until = (check: () => void) => vi.waitFor(check, 20_000);
const titles = (store: TaskStore) => store.getSnapshot().tasks.map(({ title }) => title);

/** Like a browser's `localStorage`: every item is an own property. */
function memory(): Storage {
  const methods = {
    setItem: (name: string, value: string) => void (storage[name] = value),
    removeItem: (name: string) => void delete storage[name],
    getItem: (name: string) => storage[name] ?? null,
  };
  const storage: Record<string, string> = Object.create(methods);
  return storage as unknown as Storage;
}

test('a write shows at once, and does not change when the server confirms it', async () => {
  const store = await follow('at once');
  const seen: string[] = [];
  store.subscribe(() => seen.push(JSON.stringify(store.getSnapshot().tasks.map(({ title, completed }) => [title, completed]))));
  const id = store.create({ title: 'One' });
  expect(titles(store)).toEqual(['One']);
  store.update(id, { completed: true });
  expect(store.getSnapshot()).toMatchObject({ waiting: 2, tasks: [{ completed: true, version: 0 }] });
  await until(() => expect(store.getSnapshot()).toMatchObject({ waiting: 0, seq: 2, tasks: [{ completed: true, version: 2 }] }));
  store.delete(id);
  expect(titles(store)).toEqual([]);
  await until(() => expect(store.getSnapshot()).toMatchObject({ waiting: 0, seq: 3 }));
  expect([...new Set(seen)]).toEqual(['[["One",false]]', '[["One",true]]', '[]']);
  store.stop();
});

test('an overlay stays until its seq is reached, though older changes come in', async () => {
  const net = bent();
  const other = server.client('older');
  const { data: task } = await other.createTask({ title: 'Mine' });
  const store = await follow('older', {}, { fetch: net.fetch });
  // Another client reopens the task while our completion is under way: its change is older than ours.
  let go = () => {};
  net.turns.push(async (send) => {
    await other.updateTask(task.id, { completed: false });
    await until(() => expect(store.getSnapshot().seq).toBe(2));
    const answer = await send();
    await new Promise<void>((resolve) => (go = resolve));
    return answer;
  });
  const seen: boolean[] = [];
  store.subscribe(() => seen.push(store.getSnapshot().tasks[0]!.completed));
  store.update(task.id, { completed: true });
  await until(() => expect(store.getSnapshot().seq).toBe(3));
  go();
  await until(() => expect(store.getSnapshot().waiting).toBe(0));
  expect(seen).not.toContain(false);
  store.stop();
});

test('an answered write keeps its overlay while the changes before it are not known', async () => {
  const net = bent();
  const other = server.client('ahead');
  const { data: task } = await other.createTask({ title: 'Mine' });
  // The stream sends its first event, and then nothing until it is released.
  let go = () => {};
  const held = new Promise<void>((resolve) => (go = resolve));
  let chunks = 0;
  const hold = new TransformStream<Uint8Array, Uint8Array>({
    async transform(chunk, to) {
      if (chunks++ > 0) await held;
      to.enqueue(chunk);
    },
  });
  net.turns.push((send) => send(), async (send) => {
    const answer = await send();
    return new Response(answer.body!.pipeThrough(hold), answer);
  });
  const store = await follow('ahead', {}, { fetch: net.fetch });
  await other.updateTask(task.id, { priority: 'high' });
  store.update(task.id, { completed: true });
  await until(() => expect(store.getSnapshot().waiting).toBe(0));
  expect(store.getSnapshot()).toMatchObject({ seq: 1, tasks: [{ completed: true, priority: null }] });
  go();
  await until(() => expect(store.getSnapshot()).toMatchObject({ seq: 3, tasks: [{ completed: true, priority: 'high' }] }));
  store.stop();
});

test('two stores agree, and an erasure empties both', async () => {
  const [one, two] = [await follow('in step'), await follow('in step')];
  const id = one.create({ title: 'Shared' });
  await until(() => expect(titles(two)).toEqual(['Shared']));
  two.update(id, { title: 'Renamed' });
  await until(() => expect(titles(one)).toEqual(['Renamed']));
  await one.client.deleteUser('in step');
  await until(() => expect([...titles(one), ...titles(two)]).toEqual([]));
  one.stop();
  two.stop();
});

test('writes wait for the network, even across a reload, and happen once', async () => {
  const storage = memory();
  const net = bent();
  const store = await follow('offline', { storage }, { fetch: net.fetch });
  // The first is carried out but not answered; nothing gets through after it.
  net.turns.push(lost, ...Array.from({ length: 50 }, () => refused(503)));
  const id = store.create({ title: 'One' });
  store.update(id, { completed: true });
  await until(() => expect(net.sent.filter(({ method }) => method === 'POST').length).toBeGreaterThan(1));
  store.stop();
  expect(Object.keys(storage)).toHaveLength(2);
  const again = bent();
  const next = await follow('offline', { storage }, { fetch: again.fetch });
  await until(() => expect(next.getSnapshot()).toMatchObject({ waiting: 0, seq: 2, tasks: [{ title: 'One', completed: true }] }));
  expect(Object.keys(storage)).toHaveLength(0);
  const creates = [...net.sent, ...again.sent].filter(({ method }) => method === 'POST');
  expect(new Set(creates.map(({ headers }) => headers['Idempotency-Key'])).size).toBe(1);
  next.stop();
});

test('a refused write is undone and reported, and does not hold up the next one', async () => {
  const onRefused = vi.fn();
  const store = await follow('refused', { onRefused });
  store.create({ title: 'x'.repeat(201) });
  store.update(uuid(), { title: 'Of a task that is not there' });
  store.create({ title: 'Fine' });
  await until(() => expect(store.getSnapshot()).toMatchObject({ waiting: 0, tasks: [{ title: 'Fine', version: 1 }] }));
  expect(onRefused.mock.calls.map(([error]) => error.status)).toEqual([422, 404]);
  store.stop();
});

test('a deleted task comes back with its id and times', async () => {
  const store = await follow('undo');
  store.create({ title: 'Older', tags: ['a'], priority: 'low' });
  store.create({ title: 'Newer' });
  await until(() => expect(store.getSnapshot()).toMatchObject({ waiting: 0, seq: 2 }));
  const task = store.getSnapshot().tasks[1]!;
  store.delete(task.id);
  store.restore(task);
  expect(titles(store)).toEqual(['Newer', 'Older']);
  await until(() => expect(store.getSnapshot()).toMatchObject({ waiting: 0, seq: 4 }));
  expect(store.getSnapshot().tasks[1]).toEqual({ ...task, version: 4 });
  store.stop();
});

test('unsent writes of one user of a browser are not another’s', async () => {
  const storage = memory();
  const net = bent();
  net.turns.push(...Array.from({ length: 50 }, () => refused(503)));
  const left = new TaskStore(server.client('left', { user: 'left', fetch: net.fetch }), { storage });
  left.start();
  left.create({ title: 'Private' });
  left.stop();
  expect(Object.keys(storage)).toHaveLength(1);
  for (const user of ['came', undefined, 'lef']) {
    const came = new TaskStore(server.client(user ?? 'me', user ? { user } : {}), { storage });
    expect(came.getSnapshot()).toMatchObject({ waiting: 0, tasks: [] });
  }
  const back = new TaskStore(server.client('left', { user: 'left' }), { storage });
  expect(back.getSnapshot()).toMatchObject({ waiting: 1, tasks: [{ title: 'Private' }] });
});

test('of a server whose store was made again nothing is kept, though its seqs go on', async () => {
  const first = await startServer();
  const store = new TaskStore(first.client('ann'));
  store.start();
  for (const title of ['One', 'Two', 'Three']) store.create({ title });
  await until(() => expect(store.getSnapshot()).toMatchObject({ waiting: 0, seq: 3 }));
  await first.stop();
  const second = await startServer(new URL(first.address).port);
  // As many and more writes, of which the store has seen none.
  for (const title of ['a', 'b', 'c', 'd']) await second.client('ann').createTask({ title });
  store.retry();
  await until(() => expect(titles(store)).toEqual(['d', 'c', 'b', 'a']));
  store.create({ title: 'e' });
  await until(() => expect(store.getSnapshot()).toMatchObject({ waiting: 0, seq: 5 }));
  expect(titles(store)).toEqual(['e', 'd', 'c', 'b', 'a']);
  store.stop();
  await second.stop();
});
