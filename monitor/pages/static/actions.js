// What an operator does here: a small dialog asks for what is needed, once a session for the token, and a line says
// what came of it. The token is kept for this tab's session at most, and sent to this monitor only.

import { refresh } from "./live.js";

const KEPT = "coord.token";
const SHOWN = 7000; // ms for which an outcome stands there; what went wrong stays longer

const some = (list, one) => (list.length === 1 ? list[0] : `${list.length} ${one}`);

// For each: the address, what is asked first (a dialog's id, or a question), what is sent, and what is said then.
const ACTIONS = {
  submit: {
    dialog: "submit",
    body: (target, given) => given,
    said: (made) => (made.status === "duplicate" ? `There is such a task already: ${made.id}` : `Task ${made.id} is ${made.status}`),
    link: (made) => `/tasks/${encodeURIComponent(made.id)}`,
  },
  tell: {
    dialog: "tell",
    body: (target, given) => ({ target, text: given.text, wake: given.wake === "1" }),
    said: (sent) => `${sent.worker} has it with its next tool call`,
  },
  drain: {
    question: (target, undo) => (undo ? "" : `Let ${target} finish its task, and stop?`),
    body: (target, given, undo) => ({ workers: [target], undo }),
    said: (done) => `${some(done.workers.map((each) => each.id), "workers")} ${done.workers[0]?.draining ? "drains" : "goes on"}`,
  },
  cancel: {
    question: (target) => `Cancel ${target}? A session that works on it is told to stop.`,
    body: (target) => ({ ids: [target] }),
    said: (done) => `${some(done.tasks.map((each) => each.id), "tasks")} is cancelled`,
  },
  retry: {
    body: (target) => ({ ids: [target] }),
    said: (done) => `${some(done.tasks.map((each) => each.id), "tasks")} is ${done.tasks[0]?.status} again`,
  },
  requeue: {
    question: (target) => `Put ${target} back into its queue? It is taken from the session that works on it.`,
    body: (target) => ({ ids: [target] }),
    said: (done) => `${some(done.tasks.map((each) => each.id), "tasks")} is ${done.tasks[0]?.status}`,
  },
  pause: {
    body: (target) => ({ queue: target }),
    said: (done) => `${done.queue} is paused: what runs goes on`,
  },
  resume: {
    body: (target) => (target ? { queue: target } : { all: true }),
    said: (done) => `${done.queue ?? "Everything"} goes on`,
  },
};

export function toast(text, bad = false, link = "") {
  const line = document.createElement("div");
  line.className = bad ? "toast bad" : "toast";
  line.textContent = text;
  if (link) {
    const more = document.createElement("a");
    more.href = link;
    more.textContent = "Show";
    line.append(" ", more);
  }
  document.getElementById("toasts").append(line);
  setTimeout(() => line.remove(), bad ? 3 * SHOWN : SHOWN);
}

// Show a dialog; its form's fields when it was sent off, null when it was left.
function ask(id, prepare = () => {}) {
  const dialog = document.getElementById(id), form = dialog.querySelector("form");
  form.reset();
  prepare(dialog);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const given = {};
      for (const [name, value] of new FormData(form)) if (value.trim()) given[name] = value;
      form.reset(); // (a token is not left lying about)
      resolve(dialog.returnValue === "go" ? given : null);
    }, { once: true });
  });
}

const write = (dialog, name, text) => {
  const place = dialog.querySelector(`[data-text=${name}]`);
  if (!place) return;
  place.textContent = text;
  place.hidden = !text;
};

async function token(why) {
  const kept = why ? "" : sessionStorage.getItem(KEPT);
  if (kept) return kept;
  const given = await ask("token", (dialog) => write(dialog, "why", why));
  if (!given?.token) return "";
  const found = given.token.trim();
  sessionStorage.setItem(KEPT, found);
  return found;
}

async function send(path, body) {
  let why = "";
  for (;;) {
    const operator = await token(why);
    if (!operator) return null;
    const reply = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${operator}` },
      body: JSON.stringify(body),
    });
    const found = await reply.json().catch(() => ({}));
    if (reply.ok) return found;
    if (reply.status !== 401 && reply.status !== 403) throw new Error(problem(found, reply.status));
    sessionStorage.removeItem(KEPT);
    why = problem(found, reply.status);
  }
}

const problem = (found, status) => (typeof found.message === "string" && found.message) || `The monitor answers ${status}`;

export async function act(name, target = "", undo = false) {
  const action = ACTIONS[name];
  const question = action.question?.(target, undo) ?? "";
  let given = {};
  if (action.dialog) given = await ask(action.dialog, (dialog) => write(dialog, "target", target));
  else if (question) given = await ask("sure", (dialog) => write(dialog, "question", question));
  if (!given) return;
  try {
    const found = await send(`/action/${name}`, action.body(target, given, undo));
    if (found) toast(action.said(found), false, action.link?.(found) ?? "");
  } catch (error) {
    toast(error instanceof TypeError ? "The monitor cannot be reached; it may have been done all the same" : error.message, true);
  }
  refresh();
}

export const NAMES = Object.keys(ACTIONS);
