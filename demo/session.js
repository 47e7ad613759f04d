// The page's token: from the server if it runs on this machine, or pasted.

const form = document.getElementById('token-form');
const KEY = 'tasklane.token';

// The key in the address that the server prints, which only this browser keeps.
const PAGE_KEY = 'tasklane.key';
const printed = new URLSearchParams(location.hash.slice(1)).get('key');
if (printed) {
  localStorage.setItem(PAGE_KEY, printed);
  history.replaceState(null, '', location.pathname + location.search);
}

/** Returns a token once there is one; `fresh` asks for a new one, since the last was refused. */
export async function token({ fresh }) {
  const kept = sessionStorage.getItem(KEY);
  if (kept && !fresh) return kept;
  const headers = { 'X-Page-Key': localStorage.getItem(PAGE_KEY) ?? '' };
  const answer = await fetch('/demo/token', { method: 'POST', headers });
  const given = answer.ok ? (await answer.json()).token : await pasted();
  sessionStorage.setItem(KEY, given);
  return given;
}

function pasted() {
  form.hidden = false;
  return new Promise((resolve) => {
    const use = (event) => {
      event.preventDefault();
      form.hidden = true;
      resolve(form.elements.token.value.trim());
    };
    form.addEventListener('submit', use, { once: true });
  });
}
