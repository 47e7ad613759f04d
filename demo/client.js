/** A refusal. `code` is for programs; it is `UNKNOWN` if something other than Tasklane answered. */
export class TasklaneError extends Error {
    name = 'TasklaneError';
    status;
    code;
    details;
    requestId;
    /** Milliseconds to wait before the next attempt. */
    retryAfter;
    constructor(response, body) {
        super(body?.detail ?? `HTTP ${response.status}`);
        this.status = response.status;
        this.code = body?.error?.code ?? 'UNKNOWN';
        this.details = body?.error?.details ?? null;
        this.requestId = response.headers.get('x-request-id');
        this.retryAfter = 1000 * Number(response.headers.get('retry-after')) || 0;
    }
    /** Whether the same request may succeed later. */
    get passing() {
        return [408, 429, 502, 503, 504].includes(this.status);
    }
}
/** A random UUID, even where `crypto.randomUUID` is missing: on a page without https. */
export function uuid() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
/** Milliseconds before retry number `attempt`, from 0: doubled each time; half of it is jitter. */
export const backoff = (attempt) => Math.min(250 * 2 ** attempt, 10_000) * (0.5 + Math.random() / 2);
/** Waits; rejects as soon as the signal is aborted. */
export function sleep(milliseconds, signal) {
    return new Promise((resolve, reject) => {
        signal?.throwIfAborted();
        const abort = () => (clearTimeout(timer), reject(signal.reason));
        const timer = setTimeout(() => (signal?.removeEventListener('abort', abort), resolve()), milliseconds);
        signal?.addEventListener('abort', abort, { once: true });
    });
}
/** A stream is silent for at most 15 seconds; after this many milliseconds it is dead. */
const SILENCE = 45_000;
export class Tasklane {
    #options;
    constructor(options) {
        this.#options = options;
    }
    /** Whose tasks: the token's subject, or `me`. */
    get user() {
        return this.#options.user ?? 'me';
    }
    listTasks = (query = {}, options = {}) => this.#call('GET', '/tasks', { ...options, query });
    createTask = (body, options = {}) => this.#call('POST', '/tasks', { ...options, body });
    getTask = (id, options = {}) => this.#call('GET', `/tasks/${encodeURIComponent(id)}`, options);
    updateTask = (id, body, options = {}) => this.#call('PATCH', `/tasks/${encodeURIComponent(id)}`, { ...options, body });
    /** Completes or reopens; without `completed` the state is flipped. */
    completeTask = (id, completed, options = {}) => this.#call('PATCH', `/tasks/${encodeURIComponent(id)}/complete`, {
        ...options,
        body: completed === undefined ? undefined : { completed },
    });
    deleteTask = (id, options = {}) => this.#call('DELETE', `/tasks/${encodeURIComponent(id)}`, options);
    createBatch = (operations, options = {}) => this.#call('POST', '/batch', { ...options, body: { operations } });
    getSummary = (query = {}, options = {}) => this.#call('GET', '/summary', { ...options, query });
    listChanges = (query, options = {}) => this.#call('GET', '/changes', { ...options, query });
    /** A ticket for the event stream, for `EventSource`, which cannot send a token. */
    createTicket = (options = {}) => this.#call('POST', '/events/ticket', options);
    exportTasks = (options = {}) => this.#call('GET', '/export', options);
    importTasks = (body, options = {}) => this.#call('POST', '/import', { ...options, body });
    /** Removes all of a user's data. `userId` is the token's subject, as confirmation. */
    deleteUser = (userId, options = {}) => this.#call('DELETE', '', { ...options, confirm: encodeURIComponent(userId) });
    getTest = (options = {}) => this.#call('GET', '/test', options);
    getHealth = (options = {}) => this.#call('GET', '//health', options);
    getReady = (options = {}) => this.#call('GET', '//ready', options);
    /**
     * The changes after `since` (or from now on), as they happen. A lost connection is reopened after the last
     * event. It ends when the signal is aborted, and throws when the server refuses it.
     */
    async *getEvents({ since, signal } = {}) {
        let last = since;
        for (let attempt = 0; !signal?.aborted; attempt++) {
            const stop = new AbortController();
            const abort = () => stop.abort();
            signal?.addEventListener('abort', abort, { once: true });
            let silence;
            try {
                const response = await this.#fetch('GET', '/events', { query: { since: last }, signal: stop.signal });
                const chunks = response.body.pipeThrough(new TextDecoderStream()).getReader();
                for (let text = '';;) {
                    clearTimeout(silence);
                    silence = setTimeout(abort, SILENCE);
                    const { done, value } = await chunks.read();
                    if (done)
                        break;
                    const parts = (text + value).split(/\r?\n\r?\n/);
                    text = parts.pop();
                    for (const event of parts.map(parseEvent).filter((event) => event !== null)) {
                        [last, attempt] = [`${event.seq}-${event.lineage}`, 0];
                        yield event;
                    }
                }
            }
            catch (error) {
                if (signal?.aborted)
                    return;
                if (error instanceof TasklaneError && !error.passing)
                    throw error;
            }
            finally {
                clearTimeout(silence);
                signal?.removeEventListener('abort', abort);
                stop.abort();
            }
            const [seq, lineage = ''] = String(last ?? 0).split(/-(.*)/);
            yield { type: 'lost', seq: Number(seq), lineage };
            await sleep(backoff(attempt), signal).catch(() => { });
        }
    }
    async #call(method, path, call) {
        // The same key on every attempt: however often the write arrives, it happens once.
        const write = method !== 'GET' ? { ...call, key: call.key ?? uuid() } : call;
        for (let attempt = 0;; attempt++) {
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
                if (response.status === 304)
                    return { ...call.known, ...answer, unchanged: true };
                return { ...answer, data: text ? JSON.parse(text) : undefined, unchanged: false };
            }
            catch (error) {
                const final = error instanceof TasklaneError && !error.passing;
                if (final || call.signal?.aborted || attempt >= (this.#options.retries ?? 3))
                    throw error;
                if (error instanceof TasklaneError)
                    wait = Math.max(wait, error.retryAfter);
            }
            await sleep(wait, call.signal);
        }
    }
    /** One request, repeated once with a fresh token if the token was refused. */
    async #fetch(method, path, call, fresh = false) {
        const { token, baseUrl = '', fetch: send = fetch } = this.#options;
        const headers = {};
        if (!path.startsWith('//')) {
            headers['Authorization'] = `Bearer ${typeof token === 'string' ? token : await token({ fresh })}`;
        }
        if (call.body !== undefined)
            headers['Content-Type'] = 'application/json';
        if (call.key !== undefined)
            headers['Idempotency-Key'] = call.key;
        if (call.confirm !== undefined)
            headers['X-Confirm-Delete'] = call.confirm;
        if (call.known?.etag)
            headers['If-None-Match'] = call.known.etag;
        if (call.ifMatch !== undefined) {
            headers['If-Match'] = typeof call.ifMatch === 'number' ? `"${call.ifMatch}"` : call.ifMatch;
        }
        const query = new URLSearchParams();
        for (const [name, value] of Object.entries(call.query ?? {})) {
            for (const each of [value].flat())
                if (each !== undefined)
                    query.append(name, String(each));
        }
        const below = path.startsWith('//') ? path.slice(1) : `/api/${encodeURIComponent(this.user)}${path}`;
        const url = `${baseUrl.replace(/\/+$/, '')}${below}${query.size ? `?${query}` : ''}`;
        const body = call.body === undefined ? null : JSON.stringify(call.body);
        const response = await send(url, { method, headers, body, signal: call.signal ?? null, cache: 'no-store' });
        if (response.ok || response.status === 304)
            return response;
        const error = new TasklaneError(response, await response.json().catch(() => null));
        if (error.status === 401 && typeof token === 'function' && !fresh)
            return this.#fetch(method, path, call, true);
        throw error;
    }
}
/** Parses one event (WHATWG HTML, section 9.2); `null` for a comment. */
function parseEvent(text) {
    const fields = new Map(text.split(/\r?\n/).map((line) => [line.split(':', 1)[0], line.replace(/^[^:]*: ?/, '')]));
    const type = fields.get('event');
    if (type !== 'hello' && type !== 'resync' && type !== 'change')
        return null;
    const data = JSON.parse(fields.get('data'));
    if (type !== 'change')
        return { type, seq: data.seq, lineage: data.lineage };
    // The id is `<seq>-<lineage>`.
    return { type, seq: data.seq, lineage: fields.get('id').replace(/^\d+-?/, ''), change: data };
}
