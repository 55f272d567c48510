// Keyboard: / j k Enter ? n, and g followed by a letter.

const PLACES = { s: "/", t: "/tasks", q: "/queues", c: "/costs" };
const CHORD = 1500; // ms between g and its letter

let chord = 0;

const typing = (node) => node.closest("input, textarea, select, [contenteditable]") !== null;

function step(by) {
  const rows = [...document.querySelectorAll("#main [data-row]")].filter((each) => each.offsetParent !== null);
  if (!rows.length) return;
  const place = rows.findIndex((each) => each === document.activeElement);
  const next = place < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, place + by));
  rows[next].focus();
  rows[next].scrollIntoView({ block: "nearest" });
}

export function start(does) {
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target.matches("#q")) event.target.blur();
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    const went = event.timeStamp - chord < CHORD;
    chord = 0;
    if (went && PLACES[event.key]) location.assign(PLACES[event.key]);
    else if (event.key === "g") chord = event.timeStamp;
    else if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "/") {
      const box = document.getElementById("q");
      box?.focus();
      box?.select();
    } else if (event.key === "?") does("help");
    else if (event.key === "n") does("submit");
    else return;
    event.preventDefault();
  });
}
