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

// The monitor decides what is told, when, and how often (monitor/notify.py): so do all its pages, and once.
const FRESH = 60_000;

export function start(live) {
  if (!("Notification" in window)) {
    document.querySelector("[data-does=notify]")?.remove();
    return;
  }
  picture();
  live.onEvent((kind, row) => {
    if (kind !== "pool" || row.type !== "notify") return;
    if (Date.now() - Number(row.id.split("-")[0]) > FRESH) return; // (told again after a pause of the line)
    let said;
    try {
      said = JSON.parse(row.detail);
    } catch {
      return;
    }
    // (The path alone: whatever the link says, this page stays on its host.)
    const path = URL.canParse(said.url) ? location.origin + new URL(said.url).pathname : "/";
    tell(String(said.title), String(said.text), String(said.id), path);
  });
}
