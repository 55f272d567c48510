// What a test asks of a page; each answers with a list of what is wrong.

window.checks = {
  // Text whose contrast with the ground behind it is less than WCAG's AA asks for.
  faint() {
    const parse = (text) => {
      const numbers = text.match(/[\d.]+/g).map(Number);
      const scale = text.startsWith("color(") ? 255 : 1;
      return [...numbers.slice(0, 3).map((each) => each * scale), numbers[3] ?? 1];
    };
    const over = (top, under) => under.map((each, place) => top[place] * top[3] + each * (1 - top[3]));
    const linear = (each) => (each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
    const light = (colour) => {
      const [r, g, b] = colour.map((each) => linear(each / 255));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (node) => {
      const grounds = [];
      for (; node; node = node.parentElement) grounds.push(parse(getComputedStyle(node).backgroundColor));
      return grounds.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
    };
    const found = [];
    for (const node of document.querySelectorAll("body *")) {
      const own = [...node.childNodes].some((each) => each.nodeType === 3 && each.data.trim());
      if (!own || !node.checkVisibility() || node.closest(".vh, .skip, svg, option")) continue;
      const style = getComputedStyle(node), under = ground(node);
      const [a, b] = [light(over(parse(style.color), under)), light(under)].sort((x, y) => y - x);
      const ratio = (a + 0.05) / (b + 0.05), size = parseFloat(style.fontSize);
      const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      if (ratio >= (large ? 3 : 4.5)) continue;
      found.push(`${node.tagName}.${node.className} "${node.textContent.trim().slice(0, 30)}" ${ratio.toFixed(2)}`);
    }
    return found;
  },

  // What can be used and has no name, tables and pictures without words, ids that are there twice.
  nameless() {
    const found = [];
    for (const node of document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea")) {
      const labels = [...(node.labels ?? [])].some((each) => each.textContent.trim());
      if (node.textContent.trim() || node.getAttribute("aria-label") || labels) continue;
      found.push(node.outerHTML.slice(0, 120));
    }
    for (const node of document.querySelectorAll("table")) {
      if (!node.caption && !node.closest("[role=region][aria-label]")) found.push("table without a caption");
    }
    for (const node of document.querySelectorAll("svg:not([aria-hidden=true])")) {
      if (!node.getAttribute("aria-label")) found.push("picture without words");
    }
    const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
    found.push(...ids.filter((each, place) => ids.indexOf(each) !== place).map((each) => `twice: ${each}`));
    for (const only of ["h1", "main", "nav[aria-label=Pages]"]) {
      if (document.querySelectorAll(only).length !== 1) found.push(`not one ${only}`);
    }
    return found;
  },

  // What reaches beyond the right edge of a window that is so wide, and is not scrolled by itself.
  wide(most) {
    if (document.documentElement.scrollWidth <= most) return [];
    const far = [...document.querySelectorAll("body *")].filter((each) => each.getBoundingClientRect().right > most + 1);
    return [`${document.documentElement.scrollWidth} px`, ...far.map((each) => each.outerHTML.slice(0, 90))];
  },
};
