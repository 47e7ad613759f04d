// What the k6 scripts share: users and their tokens, one checked call, and the summary.
import crypto from 'k6/crypto';
import encoding from 'k6/encoding';
import http from 'k6/http';
import { check } from 'k6';

export const base = __ENV.BASE_URL || 'http://127.0.0.1:8000';

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
  if (!__ENV.SECRET) {
    if (!__ENV.TOKEN) throw new Error('give -e TOKEN=<a token>, or -e SECRET=<BETTER_AUTH_SECRET> for many users');
    return { id: 'me', token: __ENV.TOKEN };
  }
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
    console.error(`${name}: status ${answer.status} instead of ${status}: ${answer.error || String(answer.body).slice(0, 300)}`);
    return null;
  }
  if (!tests) return answer;
  const value = parsed(answer);
  for (const [what, holds] of Object.entries(tests)) {
    const label = `${name}: ${what}`;
    if (!check(answer, { [label]: () => value !== null && holds(value, answer) })) {
      console.error(`${label}: not so in ${String(answer.body).slice(0, 300)}`);
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
export function handleSummary(data) {
  const metric = (name) => (data.metrics[name] ? data.metrics[name].values : null);
  const ms = (value) => (value === undefined ? '-' : value.toFixed(2));
  const rows = [['call', 'requests', 'p50 ms', 'p95 ms', 'p99 ms', 'max ms']];
  for (const name of Object.keys(data.metrics).filter((name) => name.startsWith('http_req_duration')).sort()) {
    const label = name === 'http_req_duration' ? 'all' : (/\{name:(.*)\}/.exec(name) || [])[1];
    const trend = metric(name);
    if (label && trend.count) rows.push([label, trend.count, ms(trend.med), ms(trend['p(95)']), ms(trend['p(99)']), ms(trend.max)]);
  }
  const all = metric('http_req_duration') || {};
  const requests = metric('http_reqs') || { count: 0, rate: 0 };
  // Each request is checked; without a single check nothing was proved.
  const checks = metric('checks') || { passes: 0, fails: 1 };
  const out = { stdout: rows.map((row) => row.map((cell, i) => (i ? String(cell).padStart(10) : cell.padEnd(14))).join('')).join('\n') };
  out.stdout += `\n${checks.passes} checks passed, ${checks.fails} failed\n`;
  if (__ENV.ROW) {
    out[__ENV.ROW] = `${requests.count} ${requests.rate.toFixed(0)} ${ms(all.med)} ${ms(all['p(95)'])} ${ms(all['p(99)'])} ${checks.fails}\n`;
  }
  if (__ENV.JSON) out[__ENV.JSON] = JSON.stringify(data, null, 2);
  return out;
}
