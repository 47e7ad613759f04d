import { Tasklane, TasklaneError, TaskStore } from '@tasklane/client';

// Where your tokens come from: with Better Auth's jwt plugin, its endpoint. After a refusal it is called again.
const tasklane = new Tasklane({
  baseUrl: 'http://localhost:8000',
  token: async () => (await (await fetch('/api/auth/token')).json()).token,
});

// Calls. Each resolves to the data, its seq and its tag; every write can safely be sent again.
const { data: task, etag } = await tasklane.createTask({ title: 'Water the plants', tags: ['home'] });
try {
  await tasklane.updateTask(task.id, { priority: 'high' }, { ifMatch: etag!, signal: AbortSignal.timeout(5000) });
} catch (error) {
  if (error instanceof TasklaneError && error.code === 'PRECONDITION_FAILED') console.log('Somebody was faster');
}

// Pages of a list.
let cursor: string | null = null;
do {
  const { data: page } = await tasklane.listTasks({ status: 'pending', sort: 'due_date', limit: 100, ...(cursor && { cursor }) });
  for (const each of page.tasks) console.log(each.title, each.due_date);
  cursor = page.next_cursor;
} while (cursor);

// The store: follows the server, shows writes at once, keeps them while the network is down.
const store = new TaskStore(tasklane, { storage: localStorage });
store.subscribe(() => {
  const { tasks, live, waiting } = store.getSnapshot();
  document.title = `${tasks.filter((each) => !each.completed).length} open${live ? '' : `, ${waiting} waiting`}`;
});
store.start();
addEventListener('online', store.retry);
store.update(task.id, { completed: true });
