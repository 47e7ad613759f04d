'use client';
import { Tasklane, TaskStore } from '@tasklane/client';
import { useEffect, useState, useSyncExternalStore } from 'react';
import { authClient } from './auth-client';

const nothing = { tasks: [], seq: 0, loaded: false, live: false, waiting: 0 };

export function Tasks({ email, tasklane }: { email: string; tasklane: string }) {
  const [store] = useState(() => {
    // A Better Auth token is valid for 15 minutes; when Tasklane refuses it, the client asks for a fresh one.
    let kept: string | undefined;
    const token = async ({ fresh }: { fresh: boolean }) => {
      if (fresh || !kept) kept = (await authClient.token()).data?.token ?? '';
      return kept;
    };
    return new TaskStore(new Tasklane({ baseUrl: tasklane, token }));
  });
  useEffect(() => {
    store.start();
    return () => store.stop();
  }, [store]);
  const { tasks, live } = useSyncExternalStore(store.subscribe, store.getSnapshot, () => nothing);

  return (
    <>
      <h1>Tasks of {email}</h1>
      <form action={(form) => void store.create({ title: String(form.get('title')) })}>
        <input name="title" aria-label="Title" maxLength={200} required /> <button>Add</button>
      </form>
      <ul aria-label="Tasks">
        {tasks.map((task) => (
          <li key={task.id}>
            <label>
              <input type="checkbox" checked={task.completed} onChange={() => store.update(task.id, { completed: !task.completed })} />{' '}
              {task.title}
            </label>{' '}
            <button aria-label={`Delete ${task.title}`} onClick={() => store.delete(task.id)}>✕</button>
          </li>
        ))}
      </ul>
      <p role="status">{live ? 'Live' : 'Connecting…'}</p>
      <button onClick={() => authClient.signOut().then(() => location.reload())}>Sign out</button>
    </>
  );
}
