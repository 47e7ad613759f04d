/** A server for the tests, on a free port and in an empty folder. `TASKLANE` names the binary. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Tasklane, type TasklaneOptions } from '../src/index.js';

const binary = process.env['TASKLANE'] ?? '';
const secret = 'a secret of the tests, 32 bytes or more';

export interface Server {
  address: string;
  /** A client for one user; its `fetch` can be replaced. */
  client(user: string, options?: Partial<TasklaneOptions>): Tasklane;
  token(user: string, ttl?: string): string;
  stop(): Promise<void>;
}

export async function startServer(port = '0'): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), 'tasklane-'));
  const env = { PORT: port, BETTER_AUTH_SECRET: secret };
  const child = spawn(binary, ['serve'], { cwd: folder, env, stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const address = await new Promise<string>((resolve, reject) => {
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      said += part;
      const found = said.match(/is listening on (http:\S+)/)?.[1];
      if (found) resolve(found);
    });
    child.once('error', reject);
    void ended.then(() => reject(new Error(`the server ended: ${said}`)));
  });
  const token = (user: string, ttl = '10m') => {
    const made = spawnSync(binary, ['token', '--user', user, '--ttl', ttl], { cwd: folder, env });
    return made.stdout.toString().trim();
  };
  return {
    address,
    token,
    client: (user, options) => new Tasklane({ baseUrl: address, token: token(user), ...options }),
    async stop() {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await ended;
      clearTimeout(timer);
      rmSync(folder, { recursive: true });
    },
  };
}

/** A `fetch` whose answers a test decides: each function handles one request, in turn. */
export function bent() {
  const turns: ((send: () => Promise<Response>) => Promise<Response>)[] = [];
  const sent: { method: string; path: string; headers: Record<string, string> }[] = [];
  const send = (url: string | URL | Request, init?: RequestInit) => {
    const { pathname, search } = new URL(String(url));
    sent.push({ method: init?.method ?? 'GET', path: pathname + search, headers: init?.headers as Record<string, string> });
    const go = () => fetch(url, init);
    return (turns.shift() ?? ((go) => go()))(go);
  };
  return { fetch: send as typeof fetch, turns, sent };
}

/** The request is carried out, but its answer is lost. */
export const lost = async (send: () => Promise<Response>): Promise<Response> => {
  await send();
  throw new TypeError('fetch failed');
};

/** The request does not reach the server; something else answers. */
export const refused = (status: number, headers: Record<string, string> = {}, body: unknown = null) => async () =>
  new Response(JSON.stringify(body), { status, headers });
