"use strict";
// What the page is built of, without any state of its own. It stands before gallery.js in one script.
const parts = (() => {
  const FINE = new Set(["ok", "skipped"]);
  const SVG = "http://www.w3.org/2000/svg";

  const count = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

  function el(name, props = {}, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(props)) {
      if (key === "text") node.textContent = value;
      else if (key === "on") for (const [type, f] of Object.entries(value)) node.addEventListener(type, f);
      else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value);
    }
    node.append(...children.filter((child) => child !== null));
    return node;
  }

  function svg(name, attributes, ...children) {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  function coloured(node, region) {
    // Through the object model: the page's policy allows no style attributes.
    node.style.setProperty("--fill", region.fill);
    node.style.setProperty("--ink", region.ink);
    return node;
  }

  function box(region) {
    const b = region.bbox;
    return Array.isArray(b) && b.length === 4 && b.every(Number.isFinite) && region.status !== "invalid" ? b : null;
  }

  const inWords = (value) => (typeof value === "string" ? value : JSON.stringify(value));

  function haystack(record) {
    const texts = [record.id, record.image, record.image_caption, record.answer, JSON.stringify(record.meta ?? "")];
    for (const r of record.regions || []) {
      texts.push(r.caption, r.status, r.why, ...(r.flags || []));
      for (const [name, value] of Object.entries(r.attributes || {})) texts.push(`${name}:${inWords(value)}`);
    }
    if (record.error) texts.push(record.error.code, record.error.message, record.error.stage);
    return texts.filter(Boolean).join("\n").toLowerCase();
  }

  function tags(drawn, width, height) {
    // Tags keep their size on the screen; collisions are judged at a usual width of the picture.
    const px = 560 / width;
    const tall = 22;
    const placed = [];
    return drawn.slice().sort((p, q) => p.b[2] * p.b[3] - q.b[2] * q.b[3]).map(({ region, i, b: [x, y, w, h] }) => {
      const wide = 14 + 9 * String(region.number).length;
      const [left, top, right, bottom] = [x * px, y * px, (x + w) * px, (y + h) * px];
      const spots = [
        [left, top - tall], [right - wide, top - tall], [left, bottom], [right - wide, bottom],
        [left - wide, top], [right, top], [left, top],
      ];
      const fits = ([l, t]) => l >= 0 && t >= 0 && l + wide <= width * px && t + tall <= height * px;
      const free = ([l, t]) => placed.every(([pl, pt, pw]) => l >= pl + pw || l + wide <= pl || t >= pt + tall || t + tall <= pt);
      const spot = spots.find((s) => fits(s) && free(s)) || spots.find(fits) || [Math.max(0, left), Math.max(0, top)];
      placed.push([...spot, wide]);
      const tag = el("span", { class: "tag", "aria-hidden": "true", "data-i": i, text: String(region.number) });
      const which = spots.indexOf(spot);
      // Anchored to the box, not to the estimate, so that tags stay put at any width.
      tag.style.left = `${((which === 1 || which === 3 || which === 5 ? x + w : Math.max(0, x)) / width) * 100}%`;
      tag.style.top = `${((which === 2 || which === 3 ? y + h : Math.max(0, y)) / height) * 100}%`;
      tag.dataset.side = ["above", "above-end", "below", "below-end", "before", "after", "inside"][which] || "inside";
      return coloured(tag, region);
    });
  }

  return { FINE, box, coloured, count, el, haystack, inWords, svg, tags };
})();
