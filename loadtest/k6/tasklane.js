// What the k6 scripts share: users and their tokens, one checked call, and the summary.
import crypto from 'k6/crypto';
import encoding from 'k6/encoding';
import http from 'k6/http';
import { check } from 'k6';

export const base = __ENV.BASE_URL || 'http://127.0.0.1:8000';

if (!__ENV.TOKEN && !__ENV.SECRET) throw new Error('give -e TOKEN=<a token>, or -e SECRET=<BETTER_AUTH_SECRET> for many users');

const json = { 'Content-Type': 'application/json' };
const hour = 3600;
const tokens = {};

// An HS256 token, signed here so that any number of users costs nothing. `expires` (seconds since 1970) is the same for
// all of a run, from setup(): then all clients of one user send the same token, as a browser's tabs do.
function sign(user, expires) {
  const part = (value) => encoding.b64encode(JSON.stringify(value), 'rawurl');
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: user, exp: expires })}`;
  return `${signed}.${crypto.hmac('sha256', __ENV.SECRET, signed, 'base64rawurl')}`;
}

export function expiry() {
  return Math.floor(Date.now() / 1000) + hour;
}

// The number-th user of this run: one whose token is signed with SECRET, or the one whom TOKEN was made for.
export function user(number, expires) {
  if (!__ENV.SECRET) return { id: 'me', token: __ENV.TOKEN };
  const id = `user-${number}`;
  tokens[id] = tokens[id] || sign(id, expires);
  return { id, token: tokens[id] };
}

// The body as JSON; null where it is none. k6 does not count an iteration that threw: nothing may throw.
function parsed(answer) {
  try {
    return answer.json();
  } catch {
    return null;
  }
}

// Each client says only its first few errors: all are counted.
let complaints = 0;
function complain(text) {
  complaints += 1;
  if (complaints <= 3) console.error(text);
}

// One request, named for the summary, whose answer must have the expected status and pass the tests, which are given the
// body as JSON and the whole answer. Returns the body as JSON, or the answer where there are no tests; null when the status is wrong.
export function call(name, user, method, path, body, status, tests) {
  const answer = http.request(method, `${base}${path}`, body === undefined ? null : JSON.stringify(body), {
    headers: Object.assign({ Authorization: `Bearer ${user.token}` }, body === undefined ? {} : json),
    responseCallback: http.expectedStatuses(status),
    tags: { name },
    timeout: '30s',
  });
  if (!check(answer, { [`${name}: status ${status}`]: (a) => a.status === status })) {
    complain(`${name}: status ${answer.status} instead of ${status}: ${answer.error || String(answer.body).slice(0, 300)}`);
    return null;
  }
  if (!tests) return answer;
  const value = parsed(answer);
  for (const [what, holds] of Object.entries(tests)) {
    const label = `${name}: ${what}`;
    if (!check(answer, { [label]: () => value !== null && holds(value, answer) })) {
      complain(`${label}: not so in ${String(answer.body).slice(0, 300)}`);
    }
  }
  return value;
}

// Options of a run of fixed length in which nothing may fail; each name gets a row of its own in the summary.
export function options(names) {
  const thresholds = { checks: ['rate==1'], http_req_failed: ['rate==0'], iterations: ['count>0'] };
  for (const name of names) thresholds[`http_req_duration{name:${name}}`] = ['min>=0'];
  return {
    scenarios: {
      load: {
        executor: 'constant-vus',
        vus: Number(__ENV.VUS || 128),
        duration: __ENV.DURATION || '15s',
        gracefulStop: '30s',
      },
    },
    thresholds,
    summaryTrendStats: ['count', 'med', 'p(95)', 'p(99)', 'max'],
    setupTimeout: '60s',
    teardownTimeout: '60s',
  };
}

// A table by name on stdout; with -e ROW=<file> one line for a script: requests, requests per second, p50, p95 and p99
// in milliseconds, errors; with -e JSON=<file> all that k6 knows.
export function handleSummary({ metrics, ...rest }) {
  const rows = [['call', 'requests', 'p50 ms', 'p95 ms', 'p99 ms', 'max ms']];
  const times = ({ values }) => [values.med, values['p(95)'], values['p(99)'], values.max].map((ms) => ms.toFixed(2));
  // k6 counts no iteration that threw. A call that was never made is an error, as a failed check is.
  let errors = metrics.checks ? metrics.checks.values.fails : 1;
  for (const name of Object.keys(metrics).sort()) {
    const [, label] = /^http_req_duration\{name:(.*)\}$/.exec(name) || [];
    if (!label) continue;
    const { count } = metrics[name].values;
    rows.push(count ? [label, count, ...times(metrics[name])] : [label, 'none']);
    if (!count) errors += 1;
  }
  const all = times(metrics.http_req_duration);
  const { count, rate } = metrics.http_reqs.values;
  rows.push(['all', count, ...all]);
  const table = rows.map(([label, ...cells]) => label.padEnd(14) + cells.map((cell) => String(cell).padStart(10)).join(''));
  const out = { stdout: `${table.join('\n')}\n${rate.toFixed(0)} requests per second, ${errors} errors\n` };
  if (__ENV.ROW) out[__ENV.ROW] = `${count} ${rate.toFixed(0)} ${all.slice(0, 3).join(' ')} ${errors}\n`;
  if (__ENV.JSON) out[__ENV.JSON] = JSON.stringify({ metrics, ...rest }, null, 2);
  return out;
}
