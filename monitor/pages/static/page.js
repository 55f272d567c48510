// What the page does by itself. Reading works without it.

import * as actions from "./actions.js";
import { setClock, tell } from "./ages.js";
import * as keys from "./keys.js";
import * as live from "./live.js";
import * as notify from "./notify.js";

const TYPED = 200; // ms after the last letter of a search

const does = {
  help: () => document.getElementById("help").showModal(),
  theme: () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    document.cookie = `theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=strict`;
  },
  notify: notify.toggle,
};
for (const name of actions.NAMES) {
  does[name] = (button) => actions.act(name, button?.dataset.target, Boolean(button?.dataset.undo));
}

function act(name, button) {
  does[name]?.(button);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-does]");
  if (button) act(button.dataset.does, button);
});
document.documentElement.classList.add("js"); // (buttons that need this script show themselves)

// A search finds as one types; without this script its button sends it.
function search(form) {
  const asked = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value) asked.set(name, value);
  const query = asked.toString();
  history.replaceState(null, "", location.pathname + (query ? `?${query}` : ""));
  live.refresh();
}
let typed = 0;
document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-filter]");
  if (!form) return;
  clearTimeout(typed);
  typed = setTimeout(search, event.target.matches("select") ? 0 : TYPED, form);
});
document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-filter]")) return;
  event.preventDefault();
  clearTimeout(typed);
  search(event.target);
});

// Said to those who do not see the page: only when it has changed.
let needs = "";
function sayNeeds() {
  const names = [...document.querySelectorAll("#needs li .id")].map((each) => each.textContent);
  const known = names.join(", ");
  if (known !== needs) {
    const what = names.length === 1 ? "One session needs you" : `${names.length} sessions need you`;
    document.getElementById("said").textContent = names.length ? `${what}: ${known}` : "Nobody needs you";
  }
  needs = known;
}
document.addEventListener("shown", () => document.getElementById("needs") && sayNeeds());

setClock(Number(document.getElementById("root").dataset.now));
tell(document);
setInterval(() => tell(document), 1000);
if (document.getElementById("needs")) sayNeeds();
keys.start(act);
notify.start(live);
live.start();
