import { QueryClient } from '@tanstack/query-core';
import { Tasklane, type Answer, type TaskList } from '@tasklane/client';

const tasklane = new Tasklane({ baseUrl: 'http://localhost:8000', token: 'a token' });
const queries = new QueryClient();
// With the user: what is cached of one is not another's.
const queryKey = ['tasks', 'the user’s id'];

// For useQuery: the previous answer is passed along, so that an unchanged list is not sent again; an answer that is
// older than the previous one is dropped, unless the lineage is another one: then the store has been restored.
export const tasksQuery = {
  queryKey,
  queryFn: async ({ signal }: { signal: AbortSignal }) => {
    const known = queries.getQueryData<Answer<TaskList>>(queryKey);
    const answer = await tasklane.listTasks({}, { signal, ...(known && { known }) });
    return known && answer.lineage === known.lineage && answer.seq < known.seq ? known : answer;
  },
};

// For useMutation: the key is made once, so that a mutation that is retried, or resumed after a reload, happens once.
export const tickMutation = {
  mutationFn: ({ id, completed, key }: { id: string; completed: boolean; key: string }) =>
    tasklane.completeTask(id, completed, { key }),
  onSettled: () => queries.invalidateQueries({ queryKey }),
};

// In the background: every change, by any client, makes the list stale.
export async function follow(signal: AbortSignal) {
  for await (const event of tasklane.getEvents({ signal })) {
    if (event.type === 'change' || event.type === 'resync') await queries.invalidateQueries({ queryKey });
  }
}
