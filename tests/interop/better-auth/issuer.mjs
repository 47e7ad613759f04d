// A real Better Auth with its jwt and bearer plugins, on loopback and in memory: it signs a user up, fetches a token as
// a frontend does, prints what a test needs as one line of JSON, and serves its keys until it is stopped.
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { betterAuth } from 'better-auth';
import { memoryAdapter } from 'better-auth/adapters/memory';
import { toNodeHandler } from 'better-auth/node';
import { bearer, jwt } from 'better-auth/plugins';

const help = `node issuer.mjs [--alg EdDSA|ES256|RS256|PS256] [--port N] [--email ADDRESS] [--rotate SECONDS]
                [--ids default|uuid] [--state FILE] [--stdin]

  --alg      what the tokens are signed with (EdDSA)
  --port     where to listen on 127.0.0.1; 0, the default, lets the system choose
  --email    the user's (user@example.com)
  --rotate   sign with a new key once the last is that old; retired keys stay published
  --ids      the form of users' ids: Better Auth's own 32 characters, or UUIDs
  --state    where users and keys are kept while it is stopped; without it they are new at each start
  --stdin    stop when standard input ends, so that it never outlives the test that started it

It prints: base_url (also the tokens' iss and aud), jwks_url, alg, user_id, email, token (the JWT), session_token
(as Bearer it fetches further tokens from token_url), session_cache (the session cookie's JWT, signed with the
same keys: nobody may take it for a token), token_url.`;

const { values: given } = parseArgs({
  options: {
    alg: { type: 'string', default: 'EdDSA' },
    port: { type: 'string', default: '0' },
    email: { type: 'string', default: 'user@example.com' },
    rotate: { type: 'string' },
    ids: { type: 'string', default: 'default' },
    state: { type: 'string' },
    stdin: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
const keys = {
  EdDSA: { alg: 'EdDSA', crv: 'Ed25519' },
  ES256: { alg: 'ES256' },
  RS256: { alg: 'RS256', modulusLength: 2048 },
  PS256: { alg: 'PS256', modulusLength: 2048 },
};
if (given.help || !keys[given.alg] || !['default', 'uuid'].includes(given.ids)) {
  (given.help ? console.log : console.error)(help);
  process.exit(given.help ? 0 : 2);
}

// Better Auth needs its own address, which is known only once the port is.
let handle = (_, answer) => answer.writeHead(503).end();
const server = createServer((request, answer) => handle(request, answer));
await new Promise((listening, failed) => {
  server.once('error', failed).listen(Number(given.port), '127.0.0.1', listening);
});
const base = `http://127.0.0.1:${server.address().port}`;

const asDate = (_, value) => (/^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(value) ? new Date(value) : value);
const kept = given.state && existsSync(given.state) ? JSON.parse(readFileSync(given.state, 'utf8'), asDate) : {};
const tables = kept.tables ?? { user: [], session: [], account: [], verification: [], jwks: [] };
// Better Auth encrypts its private keys with it.
const secret = kept.secret ?? randomBytes(32).toString('hex');

const auth = betterAuth({
  baseURL: base,
  secret,
  database: memoryAdapter(tables),
  ...(given.ids === 'uuid' && { advanced: { database: { generateId: 'uuid' } } }),
  emailAndPassword: { enabled: true },
  session: { cookieCache: { enabled: true, strategy: 'jwt' } },
  plugins: [
    bearer(),
    jwt({
      sessionCookieCache: true,
      jwks: {
        keyPairConfig: keys[given.alg],
        ...(given.rotate && { rotationInterval: Number(given.rotate) }),
      },
    }),
  ],
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  logger: { level: 'error' },
});
handle = toNodeHandler(auth);

async function ask(path, options) {
  const answer = await fetch(`${base}/api/auth${path}`, options);
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer;
}

const signedUp = await ask('/sign-up/email', {
  method: 'POST',
  headers: { 'Content-Type': 'application/json', Origin: base },
  body: JSON.stringify({ name: 'A user', email: given.email, password: randomBytes(12).toString('hex') }),
});
const { user } = await signedUp.json();
const session = signedUp.headers.get('set-auth-token');
const cookie = signedUp.headers.getSetCookie().find((each) => each.includes('session_data='));
const { token } = await (await ask('/token', { headers: { Authorization: `Bearer ${session}` } })).json();

console.log(
  JSON.stringify({
    base_url: base,
    jwks_url: `${base}/api/auth/jwks`,
    token_url: `${base}/api/auth/token`,
    alg: given.alg,
    user_id: user.id,
    email: user.email,
    token,
    session_token: session,
    session_cache: cookie ? decodeURIComponent(cookie.split(';')[0].split('=').slice(1).join('=')) : null,
  }),
);

const stop = () => {
  if (given.state) writeFileSync(given.state, JSON.stringify({ secret, tables }), { mode: 0o600 });
  process.exit(0);
};
process.once('SIGTERM', stop).once('SIGINT', stop);
if (given.stdin) process.stdin.resume().once('end', stop);
