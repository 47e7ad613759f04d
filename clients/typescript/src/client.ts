/** Every call of the API, typed from its OpenAPI document, and retried where that is safe. */
import type { components, operations } from './schema.js';

type Schemas = components['schemas'];
export type Task = Schemas['Task'];
export type Priority = Schemas['Priority'];
/** A body without the other words that the API takes for a priority. */
type ByName<Body> = Omit<Body, 'priority'> & { priority?: Priority | null };
export type NewTask = ByName<Schemas['CreateTask']>;
export type TaskPatch = ByName<Schemas['UpdateTask']>;
export type TaskList = Schemas['TaskList'];
export type Change = Schemas['Change'];
export type ChangeList = Schemas['ChangeList'];
export type Summary = Schemas['SummaryCounts'];
export type Operation = Schemas['BatchOperation'];
export type TaskQuery = NonNullable<operations['list_tasks']['parameters']['query']>;

/** The result of a call. */
export interface Answer<T> {
  data: T;
  status: number;
  /** The seq of the state in `data`; after a write, the write's own. */
  seq: number;
  /** What seqs and versions count in. Once it is another one, what was known before means nothing. */
  lineage: string | null;
  etag: string | null;
  /** Whether it is a replay of the answer that this idempotency key got before. */
  replayed: boolean;
  /** Whether `data` is that of `known`, since nothing has changed. */
  unchanged: boolean;
}

/** An event of the stream; `lost` means that the connection ended and is being reopened. */
export type StreamEvent =
  | { type: 'hello' | 'resync' | 'lost'; seq: number; lineage: string }
  | { type: 'change'; seq: number; lineage: string; change: Change };

/** A seq, or a seq with its lineage: `7-mZq3nT0pXw4e`. */
export type Revision = number | string;

export interface TasklaneOptions {
  /** Such as `http://localhost:8000`; not needed on a page that the server itself serves. */
  baseUrl?: string;
  /** The token, or a function that returns one; `fresh` asks for a new one, since the last was refused. */
  token: string | ((wish: { fresh: boolean }) => string | Promise<string>);
  /** Whose tasks: the token's subject, or `me`. */
  user?: string;
  /** How often a call is retried after a lost connection, a 429 or a 503. */
  retries?: number;
  fetch?: typeof fetch;
}

export type CallOptions = { signal?: AbortSignal };
/** `known`: an earlier answer of the same call; if nothing has changed since, its data is not sent again. */
export type ReadOptions<T> = CallOptions & { known?: Answer<T> };
/** `key`: the `Idempotency-Key`; without one, the call generates it. */
export type WriteOptions = CallOptions & { key?: string };
/** `ifMatch`: the version (or `ETag`) that the task must have; otherwise the call fails with 412. */
export type ConditionalOptions = WriteOptions & { ifMatch?: number | string };

type Call = ConditionalOptions & ReadOptions<unknown> & { query?: object; body?: unknown; confirm?: string };

/** A refusal. `code` is for programs; it is `UNKNOWN` if something other than Tasklane answered. */
export class TasklaneError extends Error {
  override name = 'TasklaneError';
  readonly status: number;
  readonly code: Schemas['Code'] | 'UNKNOWN';
  readonly details: Schemas['ErrorDetails'] | null;
  readonly requestId: string | null;
  /** Milliseconds to wait before the next attempt. */
  readonly retryAfter: number;

  constructor(response: Response, body: Schemas['ErrorBody'] | null) {
    super(body?.detail ?? `HTTP ${response.status}`);
    this.status = response.status;
    this.code = body?.error?.code ?? 'UNKNOWN';
    this.details = body?.error?.details ?? null;
    this.requestId = response.headers.get('x-request-id');
    this.retryAfter = 1000 * Number(response.headers.get('retry-after')) || 0;
  }

  /** Whether the same request may succeed later. */
  get passing(): boolean {
    return [408, 429, 502, 503, 504].includes(this.status);
  }
}

/** A random UUID, even where `crypto.randomUUID` is missing: on a page without https. */
export function uuid(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/** Milliseconds before retry number `attempt`, from 0: doubled each time; half of it is jitter. */
export const backoff = (attempt: number): number => Math.min(250 * 2 ** attempt, 10_000) * (0.5 + Math.random() / 2);

/** Waits; rejects as soon as the signal is aborted. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = () => (clearTimeout(timer), reject(signal!.reason));
    const timer = setTimeout(() => (signal?.removeEventListener('abort', abort), resolve()), milliseconds);
    signal?.addEventListener('abort', abort, { once: true });
  });
}

/** A stream is silent for at most 15 seconds; after this many milliseconds it is dead. */
const SILENCE = 45_000;

export class Tasklane {
  readonly #options: TasklaneOptions;

  constructor(options: TasklaneOptions) {
    this.#options = options;
  }

  /** Whose tasks: the token's subject, or `me`. */
  get user(): string {
    return this.#options.user ?? 'me';
  }

  listTasks = (query: TaskQuery = {}, options: ReadOptions<TaskList> = {}) =>
    this.#call<TaskList>('GET', '/tasks', { ...options, query });
  createTask = (body: NewTask, options: WriteOptions = {}) =>
    this.#call<Task>('POST', '/tasks', { ...options, body });
  getTask = (id: string, options: ReadOptions<Task> = {}) =>
    this.#call<Task>('GET', `/tasks/${encodeURIComponent(id)}`, options);
  updateTask = (id: string, body: TaskPatch, options: ConditionalOptions = {}) =>
    this.#call<Task>('PATCH', `/tasks/${encodeURIComponent(id)}`, { ...options, body });
  /** Completes or reopens; without `completed` the state is flipped. */
  completeTask = (id: string, completed?: boolean, options: ConditionalOptions = {}) =>
    this.#call<Task>('PATCH', `/tasks/${encodeURIComponent(id)}/complete`, {
      ...options,
      body: completed === undefined ? undefined : { completed },
    });
  deleteTask = (id: string, options: ConditionalOptions = {}) =>
    this.#call<undefined>('DELETE', `/tasks/${encodeURIComponent(id)}`, options);
  createBatch = (operations: Operation[], options: WriteOptions = {}) =>
    this.#call<Schemas['BatchResults']>('POST', '/batch', { ...options, body: { operations } });
  getSummary = (query: { tz?: string } = {}, options: CallOptions = {}) =>
    this.#call<Summary>('GET', '/summary', { ...options, query });
  listChanges = (query: { since: Revision; limit?: number }, options: ReadOptions<ChangeList> = {}) =>
    this.#call<ChangeList>('GET', '/changes', { ...options, query });
  /** A ticket for the event stream, for `EventSource`, which cannot send a token. */
  createTicket = (options: CallOptions = {}) => this.#call<Schemas['TicketAnswer']>('POST', '/events/ticket', options);
  exportTasks = (options: CallOptions = {}) => this.#call<Schemas['Export']>('GET', '/export', options);
  importTasks = (body: Schemas['Import'], options: WriteOptions = {}) =>
    this.#call<Schemas['ImportResult']>('POST', '/import', { ...options, body });
  /** Removes all of a user's data. `userId` is the token's subject, as confirmation. */
  deleteUser = (userId: string, options: WriteOptions = {}) =>
    this.#call<undefined>('DELETE', '', { ...options, confirm: encodeURIComponent(userId) });
  getTest = (options: CallOptions = {}) => this.#call<Schemas['TokenTest']>('GET', '/test', options);
  getHealth = (options: CallOptions = {}) => this.#call<Schemas['Health']>('GET', '//health', options);
  getReady = (options: CallOptions = {}) => this.#call<Schemas['Readiness']>('GET', '//ready', options);

  /**
   * The changes after `since` (or from now on), as they happen. A lost connection is reopened after the last
   * event. It ends when the signal is aborted, and throws when the server refuses it.
   */
  async *getEvents({ since, signal }: CallOptions & { since?: Revision } = {}): AsyncGenerator<StreamEvent, void> {
    let last = since;
    for (let attempt = 0; !signal?.aborted; attempt++) {
      const stop = new AbortController();
      const abort = () => stop.abort();
      signal?.addEventListener('abort', abort, { once: true });
      let silence: ReturnType<typeof setTimeout> | undefined;
      try {
        const response = await this.#fetch('GET', '/events', { query: { since: last }, signal: stop.signal });
        const chunks = response.body!.pipeThrough(new TextDecoderStream()).getReader();
        for (let text = ''; ; ) {
          clearTimeout(silence);
          silence = setTimeout(abort, SILENCE);
          const { done, value } = await chunks.read();
          if (done) break;
          const parts = (text + value).split(/\r?\n\r?\n/);
          text = parts.pop()!;
          for (const event of parts.map(parseEvent).filter((event) => event !== null)) {
            [last, attempt] = [`${event.seq}-${event.lineage}`, 0];
            yield event;
          }
        }
      } catch (error) {
        if (signal?.aborted) return;
        if (error instanceof TasklaneError && !error.passing) throw error;
      } finally {
        clearTimeout(silence);
        signal?.removeEventListener('abort', abort);
        stop.abort();
      }
      const [seq, lineage = ''] = String(last ?? 0).split(/-(.*)/);
      yield { type: 'lost', seq: Number(seq), lineage };
      await sleep(backoff(attempt), signal).catch(() => {});
    }
  }

  async #call<T>(method: string, path: string, call: Call): Promise<Answer<T>> {
    // The same key on every attempt: however often the write arrives, it happens once.
    const write = method !== 'GET' ? { ...call, key: call.key ?? uuid() } : call;
    for (let attempt = 0; ; attempt++) {
      let wait = backoff(attempt);
      try {
        const response = await this.#fetch(method, path, write);
        const text = await response.text();
        const answer = {
          status: response.status,
          seq: Number(response.headers.get('x-tasklane-seq')),
          lineage: response.headers.get('x-tasklane-lineage'),
          etag: response.headers.get('etag'),
          replayed: response.headers.get('idempotent-replayed') === 'true',
        };
        if (response.status === 304) return { ...(call.known as Answer<T>), ...answer, unchanged: true };
        return { ...answer, data: text ? JSON.parse(text) : undefined, unchanged: false };
      } catch (error) {
        const final = error instanceof TasklaneError && !error.passing;
        if (final || call.signal?.aborted || attempt >= (this.#options.retries ?? 3)) throw error;
        if (error instanceof TasklaneError) wait = Math.max(wait, error.retryAfter);
      }
      await sleep(wait, call.signal);
    }
  }

  /** One request, repeated once with a fresh token if the token was refused. */
  async #fetch(method: string, path: string, call: Call, fresh = false): Promise<Response> {
    const { token, baseUrl = '', fetch: send = fetch } = this.#options;
    const headers: Record<string, string> = {};
    if (!path.startsWith('//')) {
      headers['Authorization'] = `Bearer ${typeof token === 'string' ? token : await token({ fresh })}`;
    }
    if (call.body !== undefined) headers['Content-Type'] = 'application/json';
    if (call.key !== undefined) headers['Idempotency-Key'] = call.key;
    if (call.confirm !== undefined) headers['X-Confirm-Delete'] = call.confirm;
    if (call.known?.etag) headers['If-None-Match'] = call.known.etag;
    if (call.ifMatch !== undefined) {
      headers['If-Match'] = typeof call.ifMatch === 'number' ? `"${call.ifMatch}"` : call.ifMatch;
    }
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(call.query ?? {})) {
      for (const each of [value].flat()) if (each !== undefined) query.append(name, String(each));
    }
    const below = path.startsWith('//') ? path.slice(1) : `/api/${encodeURIComponent(this.user)}${path}`;
    const url = `${baseUrl.replace(/\/+$/, '')}${below}${query.size ? `?${query}` : ''}`;
    const body = call.body === undefined ? null : JSON.stringify(call.body);
    const response = await send(url, { method, headers, body, signal: call.signal ?? null, cache: 'no-store' });
    if (response.ok || response.status === 304) return response;
    const error = new TasklaneError(response, await response.json().catch(() => null));
    if (error.status === 401 && typeof token === 'function' && !fresh) return this.#fetch(method, path, call, true);
    throw error;
  }
}

/** Parses one event (WHATWG HTML, section 9.2); `null` for a comment. */
function parseEvent(text: string): StreamEvent | null {
  const fields = new Map(text.split(/\r?\n/).map((line) => [line.split(':', 1)[0], line.replace(/^[^:]*: ?/, '')]));
  const type = fields.get('event');
  if (type !== 'hello' && type !== 'resync' && type !== 'change') return null;
  const data = JSON.parse(fields.get('data')!);
  if (type !== 'change') return { type, seq: data.seq, lineage: data.lineage };
  // The id is `<seq>-<lineage>`.
  return { type, seq: data.seq, lineage: fields.get('id')!.replace(/^\d+-?/, ''), change: data as Change };
}
