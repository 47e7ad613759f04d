// Whole lives of tasks, checked at each step: half of them belong to one busy user, the others to a hundred. At the end no
// user may have a task left.
//
//   k6 run loadtest/k6/smoke.js -e BASE_URL=http://127.0.0.1:8000 -e SECRET=<BETTER_AUTH_SECRET>
//
// TOKEN, when given, must be a token of the user `command-line`. VUS, DURATION, ROW, JSON: see tasklane.js.
import { call, expiry, options as fixed, user } from './tasklane.js';

export { handleSummary } from './tasklane.js';

const users = 100;
export const options = fixed(['create', 'list', 'get', 'update', 'complete', 'delete', 'get deleted']);

export function setup() {
  const nobody = { token: 'none' };
  call('health', nobody, 'GET', '/health', undefined, 200, { healthy: (body) => body.status === 'healthy' });
  call('ready', nobody, 'GET', '/ready', undefined, 200);
  call('refusal', nobody, 'GET', '/api/me/tasks', undefined, 401, { 'has a code': (body) => body.error.code === 'UNAUTHORIZED' });
  if (__ENV.TOKEN) {
    call('token', { token: __ENV.TOKEN }, 'GET', '/api/command-line/test', undefined, 200, {
      'names the user': (body) => body.user.id === 'command-line',
    });
  }
  return { expires: expiry() };
}

export default function ({ expires }) {
  const owner = user(__ITER % 2 === 0 ? 0 : 1 + Math.floor(Math.random() * users), expires);
  const tasks = `/api/${owner.id}/tasks`;
  const title = `Task ${__ITER} of client ${__VU}`;

  const task = call('create', owner, 'POST', tasks, { title, description: 'made by a load test' }, 201, {
    'is the task': (body) => body.title === title && body.completed === false && body.user_id === owner.id,
    'says where it is': (body, answer) => String(answer.headers.Location).endsWith(`${tasks}/${body.id}`),
    'numbers the write': (body, answer) => answer.headers['X-Tasklane-Seq'] === String(body.version),
  });
  if (!task) return;
  const path = `${tasks}/${task.id}`;

  call('list', owner, 'GET', tasks, undefined, 200, {
    'holds the task': (body) => body.tasks.some((each) => each.id === task.id && each.version === task.version),
    'counts': (body) => body.count === body.tasks.length,
    'is in order': (body) => body.tasks.every((each, i) => i === 0 || each.created_at <= body.tasks[i - 1].created_at),
  });
  call('get', owner, 'GET', path, undefined, 200, {
    'is what was made': (body) => body.title === title && body.version === task.version && body.created_at === task.created_at,
  });
  const updated = call('update', owner, 'PUT', path, { title: `${title}, again` }, 200, {
    'is changed, and no more than asked': (body) => body.title === `${title}, again` && body.description === task.description,
    'is newer': (body) => body.version > task.version,
  });
  call('complete', owner, 'PATCH', `${path}/complete`, undefined, 200, {
    'is complete': (body) => body.completed === true,
    'is newer': (body) => updated !== null && body.version > updated.version,
  });
  call('delete', owner, 'DELETE', path, undefined, 204);
  call('get deleted', owner, 'GET', path, undefined, 404, { 'has a code': (body) => body.error.code === 'NOT_FOUND' });
}

export function teardown({ expires }) {
  for (let number = 0; number <= users; number += 1) {
    const owner = user(number, expires);
    call('left', owner, 'GET', `/api/${owner.id}/tasks`, undefined, 200, { 'nothing is left': (body) => body.count === 0 });
  }
}
