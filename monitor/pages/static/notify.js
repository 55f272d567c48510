// Notifications of this browser: when a session waits for a person, or a task has failed for good. Off by default.

const KEPT = "coord.notify";

const wanted = () => localStorage.getItem(KEPT) === "on" && Notification.permission === "granted";

function picture() {
  const button = document.querySelector("[data-does=notify]");
  if (!("Notification" in window)) button.remove();
  else button.setAttribute("aria-pressed", String(wanted()));
}

export async function toggle() {
  if (wanted()) localStorage.removeItem(KEPT);
  else if ((await Notification.requestPermission()) === "granted") localStorage.setItem(KEPT, "on");
  picture();
}

function tell(title, body, tag, path) {
  if (!wanted()) return;
  // (Several tabs tell the same: the tag makes one of it.)
  const note = new Notification(title, { body, tag, icon: "/static/icon.svg" });
  note.addEventListener("click", () => {
    window.focus();
    location.assign(path);
    note.close();
  });
}

export function start(live) {
  picture();
  const states = new Map();
  live.onEvent((kind, row) => {
    if (kind === "session" && row.record) {
      const { id, state, needs, evidence } = row.record;
      if (state === "needs-you" && states.get(id) !== state) {
        tell(`${id} needs you`, needs || evidence || "", `needs ${id}`, `/sessions/${encodeURIComponent(id)}`);
      }
      states.set(id, state);
    }
    if (kind === "pool" && row.type === "failed" && row.task) {
      tell("A task has failed", row.detail || row.task, `failed ${row.task}`, `/tasks/${encodeURIComponent(row.task)}`);
    }
  });
}
