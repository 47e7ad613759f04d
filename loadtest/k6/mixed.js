// Mixed traffic at a chosen share of reads, on about 20 tasks per user; for measurements, it leaves its tasks behind.
//
//   k6 run loadtest/k6/mixed.js -e BASE_URL=http://127.0.0.1:8000 -e TOKEN=<a token>
//   k6 run loadtest/k6/mixed.js -e BASE_URL=http://127.0.0.1:8000 -e SECRET=<BETTER_AUTH_SECRET> -e USERS=100
//
// READS=0.8 is the share of reads. VUS, DURATION, ROW, JSON: see tasklane.js.
import { call, expiry, options as fixed, user } from './tasklane.js';

export { handleSummary } from './tasklane.js';

export const options = fixed(['create', 'list', 'get', 'update', 'complete', 'delete']);

const reads = Number(__ENV.READS || 0.8);
const users = __ENV.SECRET ? Number(__ENV.USERS || 100) : 1;
// Each client works on tasks that it made itself, so that none meets a task that another has just deleted.
const share = Math.max(1, Math.round((20 * users) / options.scenarios.load.vus));
const mine = [];

const any = (count) => Math.floor(Math.random() * count);

export function setup() {
  return { expires: expiry() };
}

export default function ({ expires }) {
  if (Math.random() < reads && mine.length > 0) {
    if (Math.random() < 0.5) {
      const reader = user(any(users), expires);
      call('list', reader, 'GET', `/api/${reader.id}/tasks`, undefined, 200);
    } else {
      const { owner, path } = mine[any(mine.length)];
      call('get', owner, 'GET', path, undefined, 200);
    }
    return;
  }
  if (mine.length < share) {
    create(expires);
    return;
  }
  const chosen = any(mine.length);
  const { owner, path } = mine[chosen];
  switch (any(3)) {
    case 0:
      call('update', owner, 'PATCH', path, { description: `changed in round ${__ITER}` }, 200);
      break;
    case 1:
      call('complete', owner, 'PATCH', `${path}/complete`, undefined, 200);
      break;
    default:
      mine.splice(chosen, 1);
      call('delete', owner, 'DELETE', path, undefined, 204);
  }
}

function create(expires) {
  const owner = user(any(users), expires);
  const tasks = `/api/${owner.id}/tasks`;
  const task = call('create', owner, 'POST', tasks, { title: `Task ${__ITER} of client ${__VU}` }, 201, {
    'has an id': (body) => typeof body.id === 'string',
  });
  if (task) mine.push({ owner, path: `${tasks}/${task.id}` });
}
