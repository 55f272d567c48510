// Makes one tree like another by changing no more than differs: what has the focus, is selected, scrolled,
// typed into or folded out stays so. Children that carry data-key (or an id) are matched by it.

const key = (node) => node.nodeType === 1 ? node.dataset.key || node.id || "" : "";

const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && key(a) === key(b);

function attributes(old, made) {
  for (const { name } of [...old.attributes]) {
    // What the reader has folded out stays so.
    if (!made.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
  }
  for (const { name, value } of made.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}

export function morph(old, made) {
  if (old.isEqualNode(made)) return;
  if (old.nodeType !== 1) {
    if (old.nodeValue !== made.nodeValue) old.nodeValue = made.nodeValue;
    return;
  }
  if (old.hasAttribute("data-keep")) return;
  attributes(old, made);
  // (What is being typed is the reader's; a choice follows what was asked for unless it is being made.)
  if (old.nodeName === "SELECT" && old !== document.activeElement) {
    children(old, made);
    old.value = [...made.options].find((each) => each.defaultSelected)?.value ?? made.options[0]?.value;
    return;
  }
  children(old, made);
}

function children(old, made) {
  const keyed = new Map();
  for (const each of old.childNodes) if (key(each)) keyed.set(key(each), each);
  let next = old.firstChild;
  for (const want of [...made.childNodes]) {
    const name = key(want);
    let found = null;
    if (name) found = keyed.get(name) ?? null;
    else if (next && alike(next, want)) found = next;
    if (found && alike(found, want)) {
      if (found === next) next = next.nextSibling;
      else {
        // Moving a node takes its focus away.
        const focus = found.contains(document.activeElement) ? document.activeElement : null;
        old.insertBefore(found, next);
        focus?.focus({ preventScroll: true });
      }
      keyed.delete(name);
      morph(found, want);
    } else {
      old.insertBefore(document.importNode(want, true), next);
    }
  }
  while (next) {
    const gone = next;
    next = next.nextSibling;
    gone.remove();
  }
}
