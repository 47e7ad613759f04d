// One task of the list: its row, and the form that edits it.

/** An element with properties, and children; names with a dash are attributes. */
export function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes('-') || key === 'for' || key === 'role') element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children);
  return element;
}

/** Tags as typed: separated by commas, none twice. */
export const tagsOf = (text) => [...new Set(text.split(',').map((tag) => tag.trim()).filter(Boolean))];

/** The date in the user's time zone, as YYYY-MM-DD. */
export const dayOf = (date) => new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 10);

/** A due date's local day; a due date is a date or an instant. */
export const dueDay = (due) => (due.length === 10 ? due : dayOf(new Date(due)));

/** Whether an open task is past its due date, by the same rule as the server's counts. */
export function isOverdue(task) {
  if (!task.due_date || task.completed) return false;
  return task.due_date.length === 10 ? task.due_date < dayOf(new Date()) : new Date(task.due_date) < new Date();
}

function dueText(due) {
  const day = dueDay(due);
  const distance = Math.round((Date.parse(day) - Date.parse(dayOf(new Date()))) / 86_400_000);
  const near = new Map([[-1, 'yesterday'], [0, 'today'], [1, 'tomorrow']]).get(distance);
  const form = { day: 'numeric', month: 'short', ...(Math.abs(distance) > 300 && { year: 'numeric' }) };
  const text = near ?? new Date(`${day}T12:00`).toLocaleDateString(undefined, form);
  const time = due.length > 10 && new Date(due).toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit' });
  return time ? `${text}, ${time}` : text;
}

/** A row; `act` has what can be done: tick, edit, remove. */
export function makeRow(id, act) {
  const title = h('span', { className: 'title', id: `t-${id}` });
  const tick = h('input', { type: 'checkbox', 'aria-labelledby': `t-${id}`, onchange: () => act.tick(id, tick.checked) });
  const note = h('p', { className: 'note' });
  const meta = h('p', { className: 'meta' });
  const edit = h('button', { type: 'button', className: 'icon', textContent: '✎', title: 'Edit (e)', onclick: () => act.edit(id) });
  const remove = h('button', { type: 'button', className: 'icon', textContent: '✕', title: 'Delete (Del)', onclick: () => act.remove(id) });
  const shown = h('div', { className: 'shown' }, tick, h('div', { className: 'text', ondblclick: () => act.edit(id) }, title, note, meta), edit, remove);
  const row = h('li', { id: `row-${id}`, tabIndex: -1 }, shown);

  let drawn;
  row.draw = (task) => {
    if (task === drawn) return;
    drawn = task;
    row.classList.toggle('done', task.completed);
    row.classList.toggle('waiting', task.waiting === true);
    title.textContent = task.title;
    tick.checked = task.completed;
    note.textContent = task.description ?? '';
    note.hidden = !task.description;
    edit.setAttribute('aria-label', `Edit: ${task.title}`);
    remove.setAttribute('aria-label', `Delete: ${task.title}`);
    const parts = [];
    if (task.priority) parts.push(h('span', { className: `badge ${task.priority}`, textContent: task.priority }));
    if (task.due_date) {
      const late = isOverdue(task);
      parts.push(h('span', { className: late ? 'due late' : 'due', textContent: `${late ? 'overdue: ' : 'due '}${dueText(task.due_date)}` }));
    }
    parts.push(...task.tags.map((tag) => h('span', { className: 'tag', textContent: `#${tag}` })));
    meta.replaceChildren(...parts);
    meta.hidden = parts.length === 0;
  };
  row.task = () => drawn;

  row.edit = (save, close) => {
    if (row.querySelector('form')) return;
    const form = editor(drawn);
    const end = () => {
      form.remove();
      shown.hidden = false;
      close();
      edit.focus();
    };
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const patch = changes(drawn, form.elements);
      if (Object.keys(patch).length > 0) save(id, patch);
      end();
    });
    form.addEventListener('keydown', (event) => event.key === 'Escape' && (event.stopPropagation(), end()));
    form.querySelector('.cancel').addEventListener('click', end);
    shown.hidden = true;
    row.append(form);
    form.elements.title.select();
  };
  return row;
}

function editor(task) {
  const priorities = ['', 'urgent', 'high', 'medium', 'low'];
  const options = priorities.map((value) => h('option', { value, textContent: value || 'none', selected: value === (task.priority ?? '') }));
  return h('form', { className: 'editor', autocomplete: 'off', 'aria-label': `Edit: ${task.title}` },
    h('label', {}, 'Title ', h('input', { name: 'title', value: task.title, maxLength: 200, required: true })),
    h('label', {}, 'Description ', h('textarea', { name: 'description', value: task.description ?? '', maxLength: 2000, rows: 2 })),
    h('div', { className: 'line extra' },
      h('label', {}, 'Priority ', h('select', { name: 'priority' }, ...options)),
      h('label', {}, 'Due ', h('input', { type: 'date', name: 'due_date', value: task.due_date ? dueDay(task.due_date) : '' })),
      h('label', { className: 'grow' }, 'Tags ', h('input', { name: 'tags', value: task.tags.join(', ') }))),
    h('div', { className: 'line end' },
      h('button', { type: 'button', className: 'cancel', textContent: 'Cancel' }),
      h('button', { className: 'primary', textContent: 'Save' })));
}

/** The fields in which the form differs from the task. */
function changes(task, fields) {
  const due = task.due_date ? dueDay(task.due_date) : '';
  const patch = {};
  if (fields.title.value.trim() !== task.title) patch.title = fields.title.value.trim();
  if (fields.description.value !== (task.description ?? '')) patch.description = fields.description.value || null;
  if (fields.priority.value !== (task.priority ?? '')) patch.priority = fields.priority.value || null;
  if (fields.due_date.value !== due) patch.due_date = fields.due_date.value || null;
  if (tagsOf(fields.tags.value).join() !== task.tags.join()) patch.tags = tagsOf(fields.tags.value);
  return patch;
}
