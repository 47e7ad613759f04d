// The page: shows the store, and handles keys and clicks.
import { Tasklane } from './client.js';
import { TaskStore } from './store.js';
import { dayOf, dueDay, h, isOverdue, makeRow, tagsOf } from './row.js';
import { token } from './session.js';

const at = (id) => document.getElementById(id);
const api = new Tasklane({ token });
const store = new TaskStore(api, {
  storage: localStorage,
  onRefused: (error) => toast(`The server refused a change: ${error.message}`),
});

// --- view

const VIEWS = [
  ['all', 'All', () => true, (counts) => counts.open + counts.completed],
  ['open', 'Open', (task) => !task.completed, (counts) => counts.open],
  ['today', 'Due today', (task) => !task.completed && task.due_date && dueDay(task.due_date) === dayOf(new Date()), (counts) => counts.due_today],
  ['overdue', 'Overdue', isOverdue, (counts) => counts.overdue],
  ['done', 'Done', (task) => task.completed, (counts) => counts.completed],
];
const RANK = { urgent: 0, high: 1, medium: 2, low: 3 };
const SORTS = {
  newest: () => 0,
  due: (a, b) => (a.due_date ?? '9').localeCompare(b.due_date ?? '9'),
  priority: (a, b) => (RANK[a.priority] ?? 4) - (RANK[b.priority] ?? 4),
  title: (a, b) => a.title.localeCompare(b.title),
};
const shown = { view: 'all', tag: null, search: '', priority: '', sort: 'newest' };
const rows = new Map();
let counts = { open: 0, completed: 0, overdue: 0, due_today: 0, by_tag: {}, seq: -1 };
let editing = null;

/** A text without regard to case and form, nearly as the server sees it. */
const folded = (text) => text.normalize('NFKC').toLowerCase();

function visible(task) {
  const [, , fits] = VIEWS.find(([name]) => name === shown.view);
  const text = [task.title, task.description ?? '', ...task.tags].join('\n');
  return (
    task.id === editing ||
    (fits(task) &&
      (!shown.tag || task.tags.some((tag) => folded(tag) === folded(shown.tag))) &&
      (!shown.priority || task.priority === shown.priority) &&
      folded(text).includes(folded(shown.search)))
  );
}

function draw() {
  const { tasks, seq, live, loaded, waiting } = store.getSnapshot();
  const wanted = tasks.filter(visible).sort(SORTS[shown.sort]);
  const list = at('list');
  const ids = new Set(wanted.map((task) => task.id));
  for (const [id, row] of rows) {
    if (!ids.has(id)) {
      row.remove();
      rows.delete(id);
    }
  }
  wanted.forEach((task, place) => {
    const row = rows.get(task.id) ?? makeRow(task.id, act);
    rows.set(task.id, row);
    row.draw(task);
    // Moving an element removes its focus: only elements that are out of place are moved.
    if (list.children[place] !== row) list.insertBefore(row, list.children[place] ?? null);
  });

  const offline = !navigator.onLine || (loaded && !live);
  const state = live && navigator.onLine ? 'live' : offline ? 'offline' : 'connecting';
  const words = { live: 'Live', offline: 'Offline', connecting: 'Connecting…' }[state];
  const text = waiting > 0 && state === 'offline' ? `${words}, ${waiting} waiting` : words;
  if (at('status-text').textContent !== text) at('status-text').textContent = text;
  at('status').dataset.state = state;
  at('status').title = `seq ${seq}`;

  at('empty').hidden = !loaded || wanted.length > 0;
  at('empty-text').textContent = tasks.length > 0 ? 'No task fits these filters.' : 'Nothing to do yet.';
  at('examples').hidden = tasks.length > 0;
  const told = `${wanted.length} ${wanted.length === 1 ? 'task' : 'tasks'} shown`;
  if (loaded && at('told').textContent !== told) at('told').textContent = told;
  if (loaded && live && seq !== counts.seq) void count();
}

function drawCounts() {
  const views = VIEWS.map(([name, label, , number]) =>
    toggle(label, number(counts), shown.view === name, () => choose({ view: name }), name));
  const tags = Object.entries(counts.by_tag).sort(([a], [b]) => a.localeCompare(b));
  if (shown.tag && !(shown.tag in counts.by_tag)) tags.unshift([shown.tag, 0]);
  replace(at('views'), views);
  replace(at('tags'), tags.map(([tag, number]) =>
    toggle(`#${tag}`, number, shown.tag === tag, () => choose({ tag: shown.tag === tag ? null : tag }))));
  at('tags-title').hidden = tags.length === 0;
}

function toggle(label, number, pressed, onclick, view = '') {
  const button = h('button', { type: 'button', 'aria-pressed': String(pressed), onclick },
    h('span', { textContent: label }), ' ', h('span', { className: 'count', textContent: number }));
  button.dataset.view = view;
  return button;
}

/** Replaces buttons and keeps the focus where it was. */
function replace(place, buttons) {
  const focused = [...place.children].indexOf(document.activeElement);
  place.replaceChildren(...buttons);
  place.children[focused]?.focus();
}

function choose(change) {
  Object.assign(shown, change);
  drawCounts();
  draw();
}

/** Asks for the counts; an answer older than the last one is dropped. */
let counting = false;
async function count() {
  if (counting) return;
  counting = true;
  try {
    const tz = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const { data } = await api.getSummary({ tz });
    if (data.seq > counts.seq) counts = data;
    drawCounts();
  } catch {
    // The next change asks again.
  }
  counting = false;
  if (counts.seq < store.getSnapshot().seq) setTimeout(schedule, 500);
}

let scheduled = false;
function schedule() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => ((scheduled = false), draw()));
}

// --- actions

const find = (id) => store.getSnapshot().tasks.find((task) => task.id === id);
const deleted = [];
const act = {
  tick: (id, completed) => store.update(id, { completed }),
  edit(id) {
    editing = id;
    rows.get(id)?.edit(
      (task, patch) => store.update(task, patch),
      () => ((editing = null), schedule()),
    );
  },
  remove(id) {
    const task = find(id);
    const row = rows.get(id);
    const next = row?.nextElementSibling ?? row?.previousElementSibling ?? at('new-title');
    store.delete(id);
    deleted.push(task);
    draw();
    next.focus();
    toast(`Deleted: ${task.title}`, true);
  },
  undo() {
    const task = deleted.pop();
    if (task) store.restore(task);
    at('toast').hidden = true;
    draw();
    rows.get(task?.id)?.focus();
  },
};

let fading;
function toast(text, undo = false) {
  at('toast').hidden = false;
  at('toast-text').textContent = text;
  at('undo').hidden = !undo;
  clearTimeout(fading);
  const fade = () => {
    // It stays while it has the focus or the pointer.
    if (at('toast').matches(':hover, :focus-within')) fading = setTimeout(fade, 2000);
    else at('toast').hidden = true;
  };
  fading = setTimeout(fade, 10_000);
}

at('undo').addEventListener('click', act.undo);
at('add').addEventListener('submit', (event) => {
  event.preventDefault();
  const { title, priority, due_date, tags } = event.target.elements;
  if (!title.value.trim()) return;
  store.create({
    title: title.value.trim(),
    priority: priority.value || null,
    due_date: due_date.value || null,
    tags: tagsOf(tags.value),
  });
  event.target.reset();
  title.focus();
});
at('examples').addEventListener('click', () => {
  const day = (distance) => dayOf(new Date(Date.now() + distance * 86_400_000));
  for (const task of [
    { title: 'Repot the ficus', tags: ['home', 'garden'], priority: 'low' },
    { title: 'Send the invoice', description: 'November, with the travel costs', tags: ['work'], priority: 'high', due_date: day(-1) },
    { title: 'Book the train to Berlin', tags: ['travel'], priority: 'medium', due_date: day(0) },
    { title: 'Buy milk', tags: ['home'], due_date: day(1) },
  ]) store.create(task);
});
at('search').addEventListener('input', (event) => choose({ search: event.target.value.trim() }));
at('priority').addEventListener('change', (event) => choose({ priority: event.target.value }));
at('sort').addEventListener('change', (event) => choose({ sort: event.target.value }));
at('help-open').addEventListener('click', () => at('help').showModal());
at('theme').addEventListener('click', () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === 'dark';
  localStorage.setItem('tasklane.theme', dark ? 'light' : 'dark');
  paint();
});

function paint() {
  const theme = localStorage.getItem('tasklane.theme');
  if (theme) document.documentElement.dataset.theme = theme;
}

document.addEventListener('keydown', (event) => {
  const typing = event.target.closest('input:not([type=checkbox]), textarea, select, dialog');
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (typing) {
    if (event.key === 'Escape' && !event.target.closest('dialog')) event.target.blur();
    return;
  }
  const row = event.target.closest('#list > li');
  const id = row?.id.slice('row-'.length);
  const keys = {
    n: () => at('new-title').focus(),
    '/': () => at('search').focus(),
    '?': () => at('help').showModal(),
    z: act.undo,
    j: () => (row ? row.nextElementSibling : at('list').firstElementChild)?.focus(),
    k: () => (row ? row.previousElementSibling : at('list').lastElementChild)?.focus(),
    x: () => id && act.tick(id, !find(id).completed),
    e: () => id && act.edit(id),
    Delete: () => id && act.remove(id),
  };
  keys.ArrowDown = row && keys.j;
  keys.ArrowUp = row && keys.k;
  if (keys[event.key]) {
    event.preventDefault();
    keys[event.key]();
  }
});

paint();
drawCounts();
store.subscribe(schedule);
for (const change of ['online', 'offline']) {
  addEventListener(change, () => {
    store.retry();
    schedule();
  });
}
store.start();
draw();
