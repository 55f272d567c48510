// Ages that tick here, and moments in the reader's own time zone: the same words as the server's.

let offset = 0; // the server's clock minus this one, in seconds

export function setClock(serverNow) {
  offset = serverNow - Date.now() / 1000;
}

export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) {
    const minutes = Math.floor(whole / 60), left = whole % 60;
    return left && minutes < 10 ? `${minutes}m ${left}s` : `${minutes}m`;
  }
  if (whole < 86400) {
    const hours = Math.floor(whole / 3600), left = Math.floor((whole % 3600) / 60);
    return left ? `${hours}h ${left}m` : `${hours}h`;
  }
  const days = Math.floor(whole / 86400), left = Math.floor((whole % 86400) / 3600);
  return left ? `${days}d ${left}h` : `${days}d`;
}

const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function tell(root) {
  const now = Date.now() / 1000 + offset;
  for (const node of root.querySelectorAll("[data-age]")) {
    const at = Number(node.dataset.age);
    put(node, at <= now + 1 ? span(now - at) : `in ${span(at - now)}`);
  }
  for (const node of root.querySelectorAll("[data-clock]")) {
    const at = Number(node.dataset.clock), when = new Date(at * 1000);
    put(node, (Math.abs(now - at) < 86400 ? time : full).format(when));
  }
  for (const node of root.querySelectorAll("time[datetime]")) {
    const title = exact.format(new Date(node.getAttribute("datetime")));
    if (node.title !== title) node.title = title;
  }
}
