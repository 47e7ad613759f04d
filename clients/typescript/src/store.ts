/** A user's tasks as a page shows them: the server's tasks, overlaid with writes that the server may not have yet. */
import { backoff, sleep, TasklaneError, uuid } from './client.js';
import type { Answer, Change, NewTask, Revision, Task, Tasklane, TaskPatch } from './client.js';

type Write =
  | { kind: 'create'; body: NewTask }
  | { kind: 'update'; body: TaskPatch }
  | { kind: 'restore'; body: Task }
  | { kind: 'delete' };
/** A write under way: an overlay over the tasks until the seq of its answer is reached. */
export type Pending = Write & { key: string; at: string; id: string; seq?: number };

export interface StoreOptions {
  /**
   * Such as `localStorage`: keeps unsent writes across a reload. Where several people use one browser, the client needs
   * its `user`: then each has their own.
   */
  storage?: Storage;
  /** Called when the server refused a write; its overlay is gone. */
  onRefused?: (error: TasklaneError, write: Pending) => void;
  /** Called when the store cannot follow for now: no network, or a token that is not accepted. */
  onError?: (error: unknown) => void;
}

export interface View {
  /** Newest first. */
  tasks: readonly Task[];
  /** The seq up to which everything is known. */
  seq: number;
  loaded: boolean;
  /** Whether changes arrive as they happen. */
  live: boolean;
  /** Writes without an answer. */
  waiting: number;
}

/** What the names of a user's unsent writes begin with. */
const prefix = (user: string) => (user === 'me' ? 'tasklane.write.' : `tasklane.write-of.${encodeURIComponent(user)}/`);

/** `subscribe` and `getSnapshot` are what React's `useSyncExternalStore` takes. */
export class TaskStore {
  #tasks = new Map<string, Task>();
  #pending: Pending[];
  #state = { seq: 0, loaded: false, live: false };
  /** What the seqs count in. */
  #lineage: string | null = null;
  #view: View | undefined;
  #listeners = new Set<() => void>();
  /** Aborts whatever the store is waiting for. */
  #round = new AbortController();
  #run: object | undefined;
  #sending = false;

  constructor(readonly client: Tasklane, readonly options: StoreOptions = {}) {
    const kept = Object.entries({ ...options.storage }).filter(([name]) => name.startsWith(prefix(client.user)));
    const writes = kept.map(([, text]) => JSON.parse(text as string) as Pending);
    this.#pending = writes.sort((a, b) => compare(a.at, b.at));
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  readonly getSnapshot = (): View => (this.#view ??= this.#look());

  /** Follows the server until {@link stop}. */
  start(): void {
    this.#run = {};
    void this.#follow(this.#run);
    void this.#send();
  }
  stop(): void {
    this.#run = undefined;
    this.retry();
  }
  /** Retries at once: the network is back, or there is another token. */
  readonly retry = (): void => {
    this.#round.abort();
    this.#round = new AbortController();
  };

  create(body: NewTask): string {
    const id = body.id ?? uuid();
    this.#add(id, { kind: 'create', body: { ...body, id } });
    return id;
  }
  update(id: string, body: TaskPatch): void {
    this.#add(id, { kind: 'update', body });
  }
  delete(id: string): void {
    this.#add(id, { kind: 'delete' });
  }
  /** Restores a deleted task, with its id and times. */
  restore(task: Task): void {
    this.#add(task.id, { kind: 'restore', body: task });
  }

  #add(id: string, write: Write): void {
    const pending = { ...write, id, key: uuid(), at: new Date().toISOString() };
    this.#pending.push(pending);
    this.options.storage?.setItem(prefix(this.client.user) + pending.key, JSON.stringify(pending));
    this.#changed();
    void this.#send();
  }

  #changed(state: Partial<View> = {}): void {
    Object.assign(this.#state, state);
    this.#pending = this.#pending.filter(({ seq }) => seq === undefined || seq > this.#state.seq);
    this.#view = undefined;
    for (const listener of this.#listeners) listener();
  }

  #look(): View {
    const tasks = new Map(this.#tasks);
    for (const write of this.#pending) {
      const task = tasks.get(write.id);
      if (write.kind === 'delete') tasks.delete(write.id);
      else if (write.kind === 'update') task && tasks.set(write.id, merged(task, write.body));
      else if (!task) tasks.set(write.id, merged({ ...BLANK, id: write.id, created_at: write.at }, write.body));
    }
    const isNew = (task: Task) => Number(task.version === 0);
    const sorted = [...tasks.values()].sort(
      (a, b) => isNew(b) - isNew(a) || compare(b.created_at, a.created_at) || compare(b.id, a.id),
    );
    return { ...this.#state, tasks: sorted, waiting: this.#pending.filter(({ seq }) => seq === undefined).length };
  }

  /** Applies a change, unless a newer state is known. */
  #take(change: Change): void {
    if (change.seq <= this.#state.seq) return;
    if ('task' in change) this.#tasks.set(change.task.id, change.task);
    else this.#tasks.delete(change.id);
    this.#changed({ seq: change.seq });
  }

  async #follow(run: object): Promise<void> {
    for (let attempt = 0; this.#run === run; attempt++) {
      const { signal } = this.#round;
      try {
        await (this.#state.loaded ? this.#catchUp(signal) : this.#load(signal));
        for await (const event of this.client.getEvents({ since: this.#at(), signal })) {
          if (event.type === 'lost') break;
          if (event.type === 'resync' || event.lineage !== this.#lineage) await this.#load(signal);
          else if (event.type === 'change') this.#take(event.change);
          if (!this.#state.live) this.#changed({ live: true });
          attempt = 0;
        }
      } catch (error) {
        if (!signal.aborted) this.options.onError?.(error);
      }
      this.#changed({ live: false });
      await sleep(backoff(attempt), signal).catch(() => {});
    }
  }

  async #load(signal: AbortSignal): Promise<void> {
    const { data, seq, lineage } = await this.client.listTasks({}, { signal });
    const other = lineage !== this.#lineage;
    if (seq < this.#state.seq && !other) return;
    // An answer of another lineage says nothing of this one's seqs: what came of its write is in the list.
    if (other) for (const write of this.#pending) if (write.seq !== undefined) write.seq = 0;
    this.#lineage = lineage;
    this.#tasks = new Map(data.tasks.map((task) => [task.id, task]));
    this.#changed({ seq, loaded: true });
  }

  /** Where the store is. */
  #at(): Revision {
    return this.#lineage ? `${this.#state.seq}-${this.#lineage}` : this.#state.seq;
  }

  async #catchUp(signal: AbortSignal): Promise<void> {
    try {
      for (let more = true; more; ) {
        const { data } = await this.client.listChanges({ since: this.#at() }, { signal });
        for (const change of data.changes) this.#take(change);
        more = data.has_more;
      }
    } catch (error) {
      if (!(error instanceof TasklaneError && error.status === 410)) throw error;
      await this.#load(signal);
    }
  }

  /** Sends the writes one by one, in order; a write in doubt is sent again under its key. */
  async #send(): Promise<void> {
    if (this.#sending) return;
    this.#sending = true;
    for (let attempt = 0; this.#run; attempt++) {
      const write = this.#pending.find(({ seq }) => seq === undefined);
      if (!write) break;
      const { signal } = this.#round;
      try {
        const { seq, lineage, data } = await this.#submit(write, signal);
        write.seq = seq;
        if (this.#state.loaded && lineage !== this.#lineage) await this.#load(signal).catch(() => {});
        // If the next change is this one, there is no need to wait for it on the stream.
        if (seq === this.#state.seq + 1) {
          if (write.kind === 'delete') this.#take({ seq, id: write.id, deleted: true });
          else if (data && 'version' in data && data.version === seq) this.#take({ seq, task: data });
        }
        if (!this.#state.live && seq > this.#state.seq) await this.#catchUp(signal).catch(() => {});
      } catch (error) {
        if (!(error instanceof TasklaneError) || error.passing || error.status === 401) {
          if (!signal.aborted) this.options.onError?.(error);
          await sleep(backoff(attempt), signal).catch(() => {});
          continue;
        }
        write.seq = 0;
        // Another client did the same before.
        if (write.kind !== 'delete' || error.status !== 404) this.options.onRefused?.(error, write);
      }
      this.options.storage?.removeItem(prefix(this.client.user) + write.key);
      this.#changed();
      attempt = 0;
    }
    this.#sending = false;
  }

  #submit(write: Pending, signal: AbortSignal): Promise<Answer<Task | { seq: number } | undefined>> {
    const options = { key: write.key, signal };
    if (write.kind === 'create') return this.client.createTask(write.body, options);
    if (write.kind === 'update') return this.client.updateTask(write.id, write.body, options);
    if (write.kind === 'restore') return this.client.importTasks({ tasks: [write.body] }, options);
    return this.client.deleteTask(write.id, options);
  }
}

const BLANK: Omit<Task, 'id' | 'created_at'> = {
  user_id: '', title: '', description: null, completed: false, completed_at: null, priority: null, tags: [],
  due_date: null, position: null, updated_at: '', version: 0,
};

const compare = (a: string, b: string) => (a < b ? -1 : Number(a > b));

/** The task with what was sent for it, in the form in which the server will return it. */
function merged(task: Task, sent: NewTask | TaskPatch | Task): Task {
  return { ...task, ...sent, id: task.id, completed: sent.completed ?? task.completed, tags: sent.tags ?? task.tags };
}
