// Follows /events, and fetches what the page shows anew when something of it has changed: pieces that the
// server has rendered, never HTML made here. Several events become one look; a look costs at most a part of the time.

import { setClock, tell } from "./ages.js";
import { morph } from "./morph.js";

const SHORTEST = 250; // between two looks (ms): about four a second
const HIDDEN = 4000; // the same of a page that nobody sees
const ANYWAY = 15000; // some things change with time alone
const AGAIN = 2000; // until a connection that was refused for good is opened anew

let source = null;
let timer = 0, due = Infinity, busy = false, again = false, last = 0, took = 0, broken = false;
let listeners = [];

const main = () => document.getElementById("main");

export function onEvent(heard) {
  listeners.push(heard);
}

// Whether an event is about what the page shows. A page about one task or session follows only that one's.
function concerns(kind, row) {
  const follow = main().dataset;
  if (!(follow.follow ?? "").split(" ").includes(kind)) return false;
  if (follow.task && row.task !== follow.task) return false;
  if (follow.session && row.session !== follow.session && row.worker !== follow.session) return false;
  return true;
}

export function refresh(soon = 0) {
  if (busy) {
    again = true;
    return;
  }
  const pause = document.hidden ? HIDDEN : Math.max(SHORTEST, 3 * took);
  const at = Math.max(performance.now() + soon, last + pause);
  if (at >= due) return;
  due = at;
  clearTimeout(timer);
  timer = setTimeout(look, at - performance.now());
}

async function look() {
  busy = true;
  again = false;
  due = Infinity;
  const begun = performance.now(), asked = location.pathname + location.search;
  try {
    const reply = await fetch("/fragment" + asked, { headers: { Accept: "text/html" }, cache: "no-store" });
    if (reply.redirected || reply.status === 401) return location.reload(); // to log in
    if (!reply.ok) throw new Error(`the monitor answers ${reply.status}`);
    const text = await reply.text();
    // (The reader may have gone elsewhere, or typed on, meanwhile.)
    if (asked === location.pathname + location.search) show(text);
    else again = true;
    lost("");
  } catch (error) {
    lost(error instanceof TypeError ? "The monitor cannot be reached" : String(error.message));
    again = true;
  }
  last = performance.now();
  took = last - begun;
  busy = false;
  document.documentElement.dataset.looks = Number(document.documentElement.dataset.looks ?? 0) + 1;
  if (again) refresh(broken ? AGAIN : 0);
}

function show(text) {
  const made = new DOMParser().parseFromString(text, "text/html");
  const fresh = made.querySelector("main"), old = main();
  if (!fresh) return;
  fresh.id = "main";
  fresh.tabIndex = -1;
  setClock(Number(fresh.querySelector("#root").dataset.now));
  tell(fresh);
  morph(old, fresh);
  if (document.title !== made.title) document.title = made.title;
  document.dispatchEvent(new CustomEvent("shown"));
}

function lost(why) {
  const banner = document.getElementById("lost"), link = document.getElementById("link");
  broken = Boolean(why);
  banner.hidden = !broken;
  banner.textContent = broken ? `${why}: what is shown is as it was. Trying again …` : "";
  link.hidden = false;
  link.dataset.state = broken ? "lost" : "live";
  link.textContent = broken ? "not live" : "live";
}

function hear(kind, message) {
  let row;
  try {
    row = JSON.parse(message.data);
  } catch {
    row = {};
  }
  document.documentElement.dataset.event = message.lastEventId;
  for (const each of listeners) each(kind, row);
  if (kind === "reset" || concerns(kind, row)) refresh();
}

function connect() {
  // (Anew after a refusal it would not say by itself which event it saw last.)
  const seen = document.documentElement.dataset.event ?? "";
  source = new EventSource(seen ? `/events?last=${encodeURIComponent(seen)}` : "/events");
  source.addEventListener("open", () => {
    if (broken) refresh();
    else lost("");
  });
  source.addEventListener("error", () => {
    lost("The connection to the monitor is lost");
    // It tries again by itself, and says where it was; after an answer that forbids it, we do.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN);
    refresh(AGAIN);
  });
  for (const kind of ["session", "pool", "reset"]) source.addEventListener(kind, (message) => hear(kind, message));
}

export function start() {
  if (!main().dataset.follow) return;
  connect();
  setInterval(() => refresh(), ANYWAY);
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
}
