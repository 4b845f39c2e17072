// The page's behaviour: which records are shown, and which region is lit, pinned and linked.
(() => {
  const PAGE_RECORDS = 50;
  const { FINE, box, coloured, count, el, haystack, inWords, svg, tags } = parts;
  const byId = (id) => document.getElementById(id);
  const main = byId("records");
  // Served by `regioncap serve`, which chooses the records: this page has a window on them.
  const served = "served" in document.body.dataset;
  const palette = JSON.parse(byId("palette").textContent);

  // What the page shows now. `pinned` and `active` are {item, region}, or null.
  const view = { which: "all", words: [], page: 0, seen: false, pinned: null, active: null };

  // ---------------------------------------------------------------- records

  const items = [];
  for (const block of document.querySelectorAll("script.block")) {
    for (const item of JSON.parse(block.textContent)) items.push(prepared(item));
    block.remove();
  }
  let shown = items;

  // Named beside each record only where not all have the same.
  const makerOf = (record) => String(record.model || record.engine || "");
  const makers = new Set(items.map(({ record }) => makerOf(record)).filter(Boolean));
  if (items.some(({ record }) => record.engine === "baseline")) {
    document.querySelector(".head h1").after(el("p", { class: "stand-in" },
      el("strong", { text: "No model." }),
      " These captions are of the baseline engine, which tells colours, places and sizes. It knows no objects."));
  }

  function prepared({ record, clean, marked, picks }) {
    const regions = (record.regions || []).map((region, i) => ({
      ...region,
      number: region.region ?? i + 1,
      ...colourOf(region, i),
    }));
    return {
      record, clean, marked, regions, picks: new Set(picks),
      key: String(record.index ?? record.id ?? items.length),
      haystack: haystack(record),
    };
  }

  function colourOf(region, i) {
    const named = palette.find((c) => c.name === region.colour);
    return named || palette[((region.region ?? i + 1) - 1 + 10 * palette.length) % palette.length];
  }

  // ---------------------------------------------------------------- a record

  function card(item) {
    const { record } = item;
    const name = `record-${item.key}`;
    const node = el("article", { class: "record", id: name, tabindex: "-1", "aria-labelledby": `${name}-title` });
    item.node = node;
    item.rows = [];
    item.boxes = [];
    node.append(
      el("header", {},
        el("h2", { id: `${name}-title` },
          el("span", { class: "number", text: item.key }), " ", String(record.id ?? record.image ?? "")),
        el("p", { class: "about", text: about(item) }),
        el("div", { class: "acts" },
          act("Copy link", `Copy a link to record ${item.key}`, () => copy(addressOf(item, pinnedIn(item)), "Link copied")),
          act("Copy JSON", `Copy record ${item.key} as JSON`, () => copy(JSON.stringify(record, null, 2), "JSON copied")))),
      figure(item),
      el("div", { class: "words" }, problem(record), captions(item), picture(record), whole(item)));
    return node;
  }

  function about({ record, regions }) {
    const parts = [];
    if (record.width && record.height) parts.push(`${record.width} \u00d7 ${record.height}`);
    if (regions.length) parts.push(count(regions.length, "region", "regions"));
    if (record.type === "without_bbox" && regions.length) parts.push("boxes proposed");
    if (makers.size > 1 && makerOf(record)) parts.push(makerOf(record));
    return parts.join("  \u00b7  ");
  }

  function act(text, label, run) {
    return el("button", { type: "button", class: "act", "aria-label": label, text, on: { click: run } });
  }

  function problem(record) {
    if (!record.error) return null;
    const { code, message, stage, hint } = record.error;
    return el("div", { class: "problem" },
      el("p", { class: "code" }, el("strong", { text: "Failed" }), " ", el("code", { text: code ?? "error" }),
        stage ? el("span", { class: "where", text: `in ${stage}` }) : null),
      el("p", { text: message ?? "" }),
      hint ? el("p", { class: "hint", text: hint }) : null);
  }

  function picture(record) {
    if (!record.image_caption) return null;
    return el("p", { class: "picture" },
      el("span", { class: "where", text: "Whole picture" }), " ",
      el("span", { class: "said", text: record.image_caption }));
  }

  function captions(item) {
    if (!item.regions.length) {
      return item.record.error ? null : el("p", { class: "why", text: "No regions were asked about" });
    }
    const list = el("ol", { class: "captions", role: "list", "aria-label": "Captions" });
    item.regions.forEach((region, i) => list.append(row(item, region, i)));
    return list;
  }

  function row(item, region, i) {
    const status = region.status ?? "ok";
    const name = `record-${item.key}/region-${region.number}`;
    const lines = el("span", { class: "caption", id: `${name}-caption` });
    if (region.caption) lines.append(el("span", { class: "said", text: region.caption }));
    if (status !== "ok") lines.append(el("span", { class: FINE.has(status) ? "mark" : "mark bad", text: status }));
    const fields = Object.entries(region.attributes || {})
      .map(([name, value]) => el("span", { class: "attribute", text: `${name}: ${inWords(value)}` }));
    if (fields.length) lines.append(el("span", { class: "attributes" }, ...fields));
    if (region.verified === false) {
      lines.append(el("span", { class: "mark bad", text: `verified as ${region.verified_as ?? "none"}` }));
    }
    if (region.why) lines.append(el("span", { class: "why", text: region.why }));
    for (const flag of region.flags || []) lines.append(el("span", { class: "mark flag", text: flag }));
    const button = el("button", {
      type: "button", class: "region", id: name, tabindex: i === 0 ? "0" : "-1", "aria-pressed": "false",
      on: {
        click: () => pin(item, region), focus: () => light(item, region),
        mouseenter: () => light(item, region), mouseleave: () => rest(), blur: () => rest(),
      },
    },
    el("span", { class: box(region) ? "chip" : "chip hollow" },
      el("span", { class: "unseen", text: "Region " }), String(region.number)), lines);
    coloured(button, region);
    item.rows[i] = button;
    return el("li", { value: region.number }, button,
      el("button", {
        type: "button", class: "link", tabindex: "-1", text: "#", "aria-label": `Copy a link to region ${region.number}`,
        on: { click: () => copy(addressOf(item, region), "Link copied") },
      }));
  }

  function whole(item) {
    const { record } = item;
    const facts = [["Prompt", record.prompt], ["Answer", record.answer], ["Image", record.image]];
    if (record.finish_reason && record.finish_reason !== "stop") facts.push(["Ended by", record.finish_reason]);
    for (const [name, value] of [["Usage", record.usage], ["Meta", record.meta]]) {
      if (value && Object.keys(value).length) facts.push([name, JSON.stringify(value, null, 1)]);
    }
    const list = el("dl");
    for (const [name, value] of facts) {
      if (value) list.append(el("dt", { text: name }), el("dd", { text: String(value) }));
    }
    const open = !item.regions.length && !record.error;
    return el("details", { open: open ? "" : null }, el("summary", { text: "Prompt and answer" }), list);
  }

  // ---------------------------------------------------------------- its picture

  function figure(item) {
    const node = el("figure", {});
    item.figure = node;
    drawFigure(item);
    return node;
  }

  function drawFigure(item) {
    const { record } = item;
    const source = (view.seen ? item.marked || item.clean : item.clean || item.marked) || null;
    const burnt = source !== null && source === item.marked;
    item.boxes = [];
    item.figure.replaceChildren();
    if (!source) {
      item.figure.append(el("p", { class: "absent", text: "No picture" }));
      return;
    }
    const stage = el("div", { class: burnt ? "stage burnt" : "stage" });
    const image = el("img", {
      src: source, alt: `Picture of record ${item.key}`, width: record.width, height: record.height,
      loading: "lazy", decoding: "async",
      on: { error: () => lost(item, source) },
    });
    stage.append(image);
    if (record.width > 0 && record.height > 0) {
      stage.style.setProperty("--ratio", record.width / record.height);
      stage.append(...overlay(item));
    }
    item.figure.append(stage);
    if (view.seen && !burnt) item.figure.append(el("figcaption", { text: "The marked picture is not at hand" }));
  }

  function lost(item, source) {
    const other = source === item.clean ? item.marked : item.clean;
    if (source === item.clean) item.clean = null;
    else item.marked = null;
    if (other) {
      drawFigure(item);
      show(item, pinnedIn(item));
    } else item.figure.replaceChildren(el("p", { class: "absent", text: `Picture not found: ${source.slice(0, 200)}` }));
  }

  function overlay(item) {
    const { width, height } = item.record;
    const shade = svg("path", { class: "shade", "fill-rule": "evenodd" });
    const layer = svg("svg", {
      class: "boxes", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none",
      role: "group", "aria-label": "Regions in the picture",
    }, shade);
    item.shade = shade;
    const drawn = item.regions.map((region, i) => ({ region, i, b: box(region) })).filter(({ b }) => b);
    // Large boxes first, so that a small one inside can be pointed at.
    drawn.sort((p, q) => q.b[2] * q.b[3] - p.b[2] * p.b[3]);
    for (const { region, i, b } of drawn) {
      item.boxes[i] = boxNode(item, region, b);
      layer.append(item.boxes[i]);
    }
    return [layer, ...tags(drawn, width, height)];
  }

  function boxNode(item, region, [x, y, w, h]) {
    const rect = (name) => svg("rect", { class: name, x, y, width: w, height: h });
    const node = svg("g", {
      class: "box", tabindex: "-1", role: "button", "aria-label": `Region ${region.number}`,
      "aria-describedby": `record-${item.key}/region-${region.number}-caption`,
    }, rect("casing"), rect("line"));
    node.addEventListener("mouseenter", () => light(item, region));
    node.addEventListener("mouseleave", () => rest());
    node.addEventListener("focus", () => light(item, region));
    node.addEventListener("blur", () => rest());
    node.addEventListener("click", () => pin(item, region));
    return coloured(node, region);
  }

  // ---------------------------------------------------------------- light, pin, link

  const same = (a, b) => Boolean(a && b && a.item === b.item && a.region === b.region);
  const pinnedIn = (item) => (view.pinned && view.pinned.item === item ? view.pinned.region : null);

  function light(item, region) {
    if (view.active && view.active.item !== item) unlit(view.active.item);
    view.active = { item, region };
    show(item, region);
  }

  function rest() {
    const focused = holder(document.activeElement);
    if (view.active) unlit(view.active.item);
    view.active = null;
    if (view.pinned && view.pinned.item.node.isConnected) show(view.pinned.item, view.pinned.region);
    else if (focused && focused.region) light(focused.item, focused.region);
  }

  function unlit(item) {
    if (view.pinned && view.pinned.item === item) show(item, view.pinned.region);
    else show(item, null);
  }

  function show(item, region) {
    item.node.classList.toggle("lit", Boolean(region));
    item.regions.forEach((r, i) => {
      const on = r === region;
      const pinned = same(view.pinned, { item, region: r });
      item.rows[i].classList.toggle("on", on);
      item.rows[i].setAttribute("aria-pressed", String(pinned));
      if (item.boxes[i]) item.boxes[i].classList.toggle("on", on);
      const tag = item.node.querySelector(`.tag[data-i="${i}"]`);
      if (tag) tag.classList.toggle("on", on);
    });
    const b = region && box(region);
    if (b && item.shade) {
      const [x, y, w, h] = b;
      const { width, height } = item.record;
      item.shade.setAttribute("d", `M0 0H${width}V${height}H0ZM${x} ${y}h${w}v${h}h${-w}Z`);
    }
  }

  function pin(item, region) {
    const before = view.pinned;
    view.pinned = same(before, { item, region }) ? null : { item, region };
    if (before) show(before.item, null);
    show(item, region);
    tabStop(item, region);
    history.replaceState(null, "", view.pinned ? hashOf(item, region) : hashOf(item, null));
    say(view.pinned ? `Region ${region.number} pinned` : `Region ${region.number} let go`);
  }

  function letGo() {
    const before = view.pinned;
    view.pinned = null;
    if (before && before.item.node.isConnected) show(before.item, null);
    rest();
  }

  const hashOf = (item, region) =>
    `#record-${encodeURIComponent(item.key)}${region ? `/region-${region.number}` : ""}`;
  const addressOf = (item, region) => location.href.split("#")[0] + hashOf(item, region);

  async function copy(text, done) {
    try {
      await navigator.clipboard.writeText(text);
      say(done, true);
    } catch {
      say("The browser did not allow copying", true);
    }
  }

  let fading = 0;
  function say(text, visibly = false) {
    const status = byId("said");
    status.textContent = text;
    status.classList.toggle("toast", visibly);
    clearTimeout(fading);
    fading = setTimeout(() => status.classList.remove("toast"), 1600);
  }

  // Whoever writes an address may leave a % alone, which is none.
  function decoded(text) {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  }

  function follow() {
    const match = /^#record-([^/]+)(?:\/region-(\d+))?$/.exec(location.hash);
    const key = match && decoded(match[1]);
    if (!key) return;
    const item = items.find((one) => one.key === key);
    if (!item) {
      const at = `?from=${encodeURIComponent(key)}`;
      if (served && /^\d+$/.test(key) && location.search !== at) location.replace(location.pathname + at + location.hash);
      return;
    }
    if (!shown.includes(item)) choose("all", "");
    goTo(Math.floor(shown.indexOf(item) / PAGE_RECORDS));
    const region = item.regions.find((r) => String(r.number) === match[2]) || null;
    if (region) {
      if (view.pinned) show(view.pinned.item, null);
      view.pinned = { item, region };
      show(item, region);
    }
    item.node.scrollIntoView({ block: "start" });
    enter(item, region);
  }

  // ---------------------------------------------------------------- keys

  function holder(node) {
    const article = node && node.closest ? node.closest("article.record") : null;
    const item = article && shown.find((one) => one.node === article);
    if (!item) return null;
    const i = item.rows.findIndex((r) => r === node);
    const j = item.boxes.findIndex((b) => b && b === node);
    return { item, region: item.regions[i >= 0 ? i : j] || null };
  }

  function tabStop(item, region) {
    item.regions.forEach((r, i) => item.rows[i].setAttribute("tabindex", r === region ? "0" : "-1"));
  }

  function enter(item, region) {
    if (region) tabStop(item, region);
    const node = region ? item.rows[item.regions.indexOf(region)] : item.node;
    node.focus({ preventScroll: true });
    const target = region ? node : item.node;
    const { top, bottom } = target.getBoundingClientRect();
    const bar = document.querySelector(".bar").getBoundingClientRect().height;
    if (top < bar || bottom > innerHeight) item.node.scrollIntoView({ block: "start" });
    const after = target.getBoundingClientRect();
    if (after.bottom > innerHeight) target.scrollIntoView({ block: "nearest" });
  }

  function stepRecord(by) {
    const at = holder(document.activeElement);
    const from = at ? shown.indexOf(at.item) : view.page * PAGE_RECORDS - (by > 0 ? 1 : 0);
    const to = from + by;
    if (to < 0 || to >= shown.length) {
      if (served) press(by > 0 ? "a[rel=next]" : "a[rel=prev]");
      return;
    }
    goTo(Math.floor(to / PAGE_RECORDS));
    enter(shown[to], shown[to].regions[0] || null);
  }

  function stepRegion(by) {
    const at = holder(document.activeElement);
    if (!at || !at.item.regions.length) return false;
    const next = at.item.regions[at.region ? at.item.regions.indexOf(at.region) + by : 0];
    if (next) enter(at.item, next);
    return true;
  }

  const keys = {
    "/": () => { byId("text").focus(); byId("text").select(); },
    f: () => pick("failed"),
    n: () => pick("uncaptioned"),
    g: () => pick("flagged"),
    m: () => asSeen(!view.seen),
    ArrowRight: () => stepRecord(1),
    ArrowLeft: () => stepRecord(-1),
    ArrowDown: () => stepRegion(1),
    ArrowUp: () => stepRegion(-1),
    Escape: () => letGo(),
    Enter: () => pressBox(),
    " ": () => pressBox(),
  };

  function pick(which) {
    if (served) press(`a[data-pick="${which}"]`);
    else choose(view.which === which ? "all" : which);
  }

  function press(link) {
    const found = document.querySelector(link);
    if (found) found.click();
  }

  function pressBox() {
    const at = holder(document.activeElement);
    if (!at || !document.activeElement.classList.contains("box")) return false;
    pin(at.item, at.region);
    return true;
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input")) {
      if (event.key === "Escape") { choose(view.which, ""); event.target.blur(); }
      return;
    }
    const run = keys[event.key];
    if (run && run() !== false) event.preventDefault();
  });

  // ---------------------------------------------------------------- which records, which page

  const isOf = (which) => (item) => which === "all" || item.picks.has(which);

  function choose(which, text = byId("text").value) {
    view.which = which;
    byId("text").value = text;
    view.words = served ? [] : text.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = isOf(which);
    shown = items.filter((item) => wanted(item) && view.words.every((word) => item.haystack.includes(word)));
    for (const button of document.querySelectorAll("[data-which]")) {
      button.setAttribute("aria-pressed", String(button.dataset.which === which));
    }
    view.page = 0;
    draw();
    // The first match comes into sight, with the bar above it.
    const top = document.querySelector(".head").offsetHeight;
    if (scrollY > top) scrollTo(0, top);
  }

  function goTo(page) {
    if (page === view.page) return;
    view.page = page;
    draw();
  }

  function asSeen(seen) {
    view.seen = seen;
    byId("seen").setAttribute("aria-pressed", String(seen));
    for (const item of pageItems()) {
      drawFigure(item);
      show(item, pinnedIn(item));
    }
    const at = holder(document.activeElement);
    if (at && at.region) light(at.item, at.region);
    say(seen ? "Pictures as the model saw them" : "Pictures without marks");
  }

  const pageItems = () => shown.slice(view.page * PAGE_RECORDS, (view.page + 1) * PAGE_RECORDS);

  function draw() {
    view.active = null;
    const page = pageItems();
    main.replaceChildren(...page.map(card));
    if (!page.length) main.append(el("p", { class: "nothing", text: main.dataset.none || (items.length ? "No record matches." : "No records.") }));
    for (const item of page) if (pinnedIn(item)) show(item, pinnedIn(item));
    for (const nav of document.querySelectorAll("nav.pages")) pages(nav);
    const first = view.page * PAGE_RECORDS;
    say(page.length ? `Records ${first + 1} to ${first + page.length} of ${shown.length}` : "No record matches");
  }

  function pages(nav) {
    const last = Math.max(0, Math.ceil(shown.length / PAGE_RECORDS) - 1);
    const turn = (text, label, to) => el("button", {
      type: "button", class: "turn", "aria-label": label, text, disabled: to < 0 || to > last ? "" : null,
      on: { click: () => { goTo(to); main.focus({ preventScroll: true }); scrollTo(0, 0); } },
    });
    const first = view.page * PAGE_RECORDS;
    const range = shown.length
      ? `${(first + 1).toLocaleString("en")}\u2013${Math.min(first + PAGE_RECORDS, shown.length).toLocaleString("en")} of ${shown.length.toLocaleString("en")}`
      : "0 of 0";
    nav.replaceChildren(
      turn("\u2039", "Previous page", view.page - 1),
      el("span", { class: "range", text: range }),
      turn("\u203a", "Next page", view.page + 1));
    nav.classList.toggle("single", last === 0);
  }

  // ---------------------------------------------------------------- start

  const total = (which) => items.filter(isOf(which)).length;
  for (const button of document.querySelectorAll("[data-which]")) {
    const n = total(button.dataset.which);
    button.querySelector("span").textContent = n.toLocaleString("en");
    button.classList.toggle("none", n === 0);
    button.addEventListener("click", () => choose(button.dataset.which));
  }
  const regions = items.flatMap((item) => item.regions);
  const captioned = regions.filter((region) => (region.status ?? "ok") === "ok").length;
  // In the words of `regioncap status`.
  if (!served) byId("counts").textContent = [
    count(items.length, "record", "records"), `${total("failed").toLocaleString("en")} failed`,
    `${captioned.toLocaleString("en")} of ${count(regions.length, "region", "regions")} captioned`,
  ].join("  \u00b7  ");
  if (!served) byId("text").addEventListener("input", () => choose(view.which));
  byId("seen").addEventListener("click", () => asSeen(!view.seen));
  addEventListener("hashchange", follow);
  choose("all");
  follow();
})();
