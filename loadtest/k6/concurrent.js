// More than a hundred clients at once, reading and writing, within stated bounds: no error, 95 % of the answers within
// half a second, 99 % within one. On two cores that k6 shares with the server; a slow machine may need more.
//
//   k6 run loadtest/k6/concurrent.js -e BASE_URL=http://127.0.0.1:8000 -e SECRET=<BETTER_AUTH_SECRET>
//
// P95=500 and P99=1000 are the bounds in milliseconds. READS, USERS: see mixed.js; VUS, DURATION, ROW, JSON: see tasklane.js.
import { options as mixed } from './mixed.js';

export { default, handleSummary, setup } from './mixed.js';

const { P95 = 500, P99 = 1000 } = __ENV;
export const options = Object.assign({}, mixed, {
  thresholds: Object.assign({}, mixed.thresholds, { http_req_duration: [`p(95)<${P95}`, `p(99)<${P99}`] }),
});
