// Shows the document (docs/report.schema.json). It asks no network and writes texts only: nothing that
// came from outside is ever read as HTML.
"use strict";
(() => {
  const begun = performance.now();
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const DOC = read("document");
  const COMMANDS = read("commands");
  const at = (id) => document.getElementById(id);
  const PER_PAGE = 50;
  const DAY = 86_400_000;
  const column = Object.fromEntries(DOC.jobs.columns.map((name, place) => [name, place]));
  const WORDS = DOC.jobs.words;
  const ROWS = DOC.jobs.rows;
  const MEANS = {
    archived: "in the bucket, verified",
    waiting: "it waits, and goes on by itself",
    queued: "a sweep found it and queued it",
    copying: "a run holds it",
    failing: "its last try failed; it is tried again by itself",
    missing: "its object is gone; it is archived again",
    dead_lettered: "set aside: a person must decide",
    ended_at_vendor: "it will never have an export",
  };

  // --- small tools ---

  function make(tag, told = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(told)) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
      else if (name === "text") element.textContent = value;
      else if (name === "class") element.className = value;
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }
  const many = (number, what) => `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;
  function size(bytes) {
    if (bytes === null || bytes === undefined) return "";
    let unit = 0;
    let value = bytes;
    for (; value >= 1000 && unit < 5; unit++) value /= 1000;
    return `${unit ? value.toPrecision(3) : value} ${["B", "kB", "MB", "GB", "TB", "PB"][unit]}`;
  }
  const moment = (ms, precise = false) =>
    ms === null || ms === undefined ? "" : new Date(ms).toISOString().replace("T", " ").slice(0, precise ? 23 : 19);
  function lasting(seconds) {
    for (const [unit, one] of [["d", 86400], ["h", 3600], ["min", 60]])
      if (seconds >= 2 * one) return `${Math.round(seconds / one)} ${unit}`;
    return seconds >= 10 ? `${Math.round(seconds)} s` : `${Math.round(seconds * 100) / 100} s`;
  }
  function say(text) {
    at("said").textContent = "";
    requestAnimationFrame(() => (at("said").textContent = text));
  }
  const state = (name) => make("span", { class: `state ${/^[a-z_]+$/.test(name) ? name : ""}`, text: name.replaceAll("_", " ") });
  const copyButton = (text, what) => make("button", { type: "button", class: "copy", "data-copy": text, "aria-label": `Copy ${what}`, text: "Copy" });
  const command = (text, what) => make("div", { class: "command" }, make("code", { text }), copyButton(text, what));

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {  // a file that was opened from a disk may not, in some browsers
      const field = make("textarea", { "aria-label": "to copy" });
      field.value = text;
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
  }
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await copy(button.dataset.copy);
    button.focus();
    button.textContent = "Copied";
    say("copied");
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  for (const figure of document.querySelectorAll("[data-bytes]")) figure.textContent = size(Number(figure.dataset.bytes));
  for (const time of document.querySelectorAll("time[datetime]")) {
    const told = new Date(time.dateTime);
    if (!Number.isNaN(told.valueOf())) time.title = `${told.toLocaleString()} here`;
  }

  // An id stands in commands that people copy into a shell: what is no UUID gets none.
  const isId = (text) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text);

  // --- jobs ---

  const word = (row, name) => {
    const place = row[column[name]];
    return place === null || place === undefined ? "" : WORDS[place];
  };
  function keyOf(row) {
    const told = row[column.key];
    if (!told) return "";
    return told[1] === null ? WORDS[told[0]] : WORDS[told[0]] + row[0] + WORDS[told[1]];
  }
  const storyOf = (row) => row[column.story];
  const texts = new Array(ROWS.length);  // what a search looks through, made when it is first asked for
  function textOf(place) {
    if (texts[place] === undefined) {
      const row = ROWS[place];
      const story = storyOf(row) ?? {};
      texts[place] = [
        ...[row[0], word(row, "state"), word(row, "report_type"), word(row, "output_format"), keyOf(row)],
        ...[row[column.checksum_crc64nvme] ?? "", word(row, "verified_by"), WORDS[story.reason] ?? "", WORDS[story.detail] ?? ""],
      ].join("\n").toLowerCase();
    }
    return texts[place];
  }

  const form = at("filters");
  const FIELDS = ["q", "state", "type", "format", "dates", "from", "to"];
  let shown = [];
  let page = 0;

  function offer(id, name) {
    const counts = new Map();
    for (const row of ROWS) counts.set(word(row, name), (counts.get(word(row, name)) ?? 0) + 1);
    for (const [value, number] of [...counts].sort((a, b) => b[1] - a[1]))
      if (value) at(id).append(make("option", { value, text: `${value.replaceAll("_", " ")} (${number.toLocaleString("en")})` }));
  }

  function isWithin(row, dates, from, to) {
    if (!from && !to) return true;
    if (dates === "changed") {
      const day = moment(row[column.changed_at]).slice(0, 10);
      return (!from || day >= from) && (!to || day <= to);
    }
    const [first, last] = [word(row, "start_date"), word(row, "end_date")];  // any day of it will do
    if (!first || !last) return false;
    return (!from || last >= from) && (!to || first <= to);
  }

  function filter() {
    const wanted = Object.fromEntries(FIELDS.map((id) => [id, at(id).value]));
    const needles = wanted.q.toLowerCase().split(/\s+/).filter(Boolean);
    shown = [];
    for (let place = 0; place < ROWS.length; place++) {
      const row = ROWS[place];
      if (wanted.state && word(row, "state") !== wanted.state) continue;
      if (wanted.type && word(row, "report_type") !== wanted.type) continue;
      if (wanted.format && word(row, "output_format") !== wanted.format) continue;
      if (!isWithin(row, wanted.dates, wanted.from, wanted.to)) continue;
      if (needles.length && !needles.every((needle) => textOf(place).includes(needle))) continue;
      shown.push(place);
    }
    page = 0;
    draw();
    remember(wanted);
  }

  function remember(wanted) {
    const told = new URLSearchParams();
    for (const [id, value] of Object.entries(wanted)) if (value && !(id === "dates" && value === "data")) told.set(id, value);
    try {
      history.replaceState(null, "", told.size ? `#${told}` : location.pathname + location.search);
    } catch { /* a page within a page: the filter works without */ }
  }
  function recall() {
    if (!location.hash.includes("=")) return;
    for (const [id, value] of new URLSearchParams(location.hash.slice(1)))
      if (FIELDS.includes(id)) at(id).value = value;
  }

  function draw() {
    const pages = Math.max(1, Math.ceil(shown.length / PER_PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    const first = page * PER_PAGE;
    const body = document.createDocumentFragment();
    for (const place of shown.slice(first, first + PER_PAGE)) body.append(lineOf(ROWS[place]));
    document.querySelector("#table tbody").replaceChildren(body);
    const last = Math.min(first + PER_PAGE, shown.length);
    const whole = DOC.jobs.left_out ? ` of the ${many(ROWS.length, "job")} listed; ${DOC.jobs.left_out.toLocaleString("en")} older ones are counted above only` : "";
    at("found").textContent = shown.length
      ? `${many(shown.length, "job")}${whole}. Shown: ${(first + 1).toLocaleString("en")} to ${last.toLocaleString("en")}.`
      : ROWS.length ? "No job is like that." : "No job yet.";
    const turn = (text, to, label) =>
      make("button", { type: "button", disabled: to < 0 || to >= pages, text, "aria-label": label, on: { click: () => { page = to; draw(); at("jobs").focus({ preventScroll: false }); } } });
    at("pages").replaceChildren(
      ...(pages > 1
        ? [turn("First", page ? 0 : -1, "First page"), turn("Previous", page - 1, "Previous page"), make("span", { text: `page ${page + 1} of ${pages}` }), turn("Next", page + 1, "Next page"), turn("Last", page === pages - 1 ? -1 : pages - 1, "Last page")]
        : []),
    );
  }

  function lineOf(row) {
    const name = word(row, "state");
    const button = make("button", { type: "button", class: "open", "aria-expanded": "false", "aria-label": `Job ${row[0]}: its story`, title: row[0], text: `${row[0].slice(0, 8)}…` });
    const [first, last] = [word(row, "start_date"), word(row, "end_date")];
    const line = make("tr", {},
      make("td", {}, button),
      make("td", {}, state(name)),
      make("td", { text: [word(row, "report_type"), word(row, "output_format")].filter(Boolean).join(" · ") || WORDS[storyOf(row)?.reason] || "" }),
      make("td", { class: "when", text: first && last ? (first === last ? first : `${first} – ${last}`) : "" }),
      make("td", { class: "number", text: size(row[column.size_bytes]) }),
      make("td", { text: word(row, "verified_by").replaceAll("_", " ") }),
      make("td", { class: "when", text: moment(row[column.changed_at]) }),
    );
    button.addEventListener("click", () => {
      const open = button.getAttribute("aria-expanded") === "true";
      button.setAttribute("aria-expanded", String(!open));
      if (open) line.nextElementSibling.remove();
      else line.after(make("tr", { class: "story" }, make("td", { colspan: "7" }, factsOf(row))));
    });
    return line;
  }

  function factsOf(row) {
    const facts = make("dl", { class: "facts" });
    const add = (name, ...told) => facts.append(make("dt", { text: name }), make("dd", {}, ...told));
    const [name, key, story] = [word(row, "state"), keyOf(row), storyOf(row)];
    add("job", command(row[0], "the job's id"));
    add("state", `${name.replaceAll("_", " ")}: ${MEANS[name] ?? "no message about it has been worked on"}`);
    if (story?.reason !== undefined) add("why", make("b", { text: WORDS[story.reason] }), ` ${WORDS[story.detail] ?? ""}`);
    if (story?.next_try_at !== undefined && (name === "waiting" || name === "failing")) add("next try", `${moment(story.next_try_at)} UTC`);
    if (key) add("key", command(`s3://${DOC.bucket}/${key}`, "the key"));
    if (name === "archived") {
      const bytes = row[column.size_bytes];
      if (bytes !== null) add("size", `${bytes.toLocaleString("en")} bytes${bytes >= 1000 ? ` (${size(bytes)})` : ""}`);
      add("checksum", row[column.checksum_crc64nvme] ? make("code", { text: `CRC64NVME ${row[column.checksum_crc64nvme]}` }) : "this S3 keeps none");
      add("verified by", word(row, "verified_by").replaceAll("_", " "));
      if (story?.version_id) add("version", make("code", { text: story.version_id }));
    }
    add("story", story ? stepsOf(row, story, name) : `Told of what is not archived and of the newest 1,000; the next command tells this one.`);
    if (isId(row[0])) add("more", command(COMMANDS.status.replace("JOB", row[0]), "the command that tells where it is"));
    return facts;
  }

  function stepsOf(row, story, name) {
    const steps = [];
    const add = (ms, what, more = "") => steps.push([ms ?? null, what, more]);
    const took = Object.fromEntries((story.steps ?? []).map(([place, start, lasted]) => [WORDS[place], { start, lasted }]));
    add(row[column.completed_at], "completed", "at the vendor");
    add(story.first_seen_at, "heard of", "by a message or a sweep");
    const tries = story.attempts > 1 ? `attempt ${story.attempts}; earlier ones waited, failed or were killed` : "at the first attempt";
    if (name === "archived") {
      add(story.claimed_at, "claimed", tries);
      add(took.link?.start, "linked", `a fresh link${took.link ? `, in ${took.link.lasted} ms` : ""}`);
      const seconds = (story.archived_at - story.claimed_at) / 1000;
      const lasted = took.copy ? `${took.copy.lasted} ms` : `${lasting(seconds)} with the link`;
      add(took.copy?.start, "copied", `${size(row[column.size_bytes])}, ${word(row, "copy_method").replaceAll("_", "-")} copy, in ${lasted}`);
      add(story.archived_at, "committed", `verified by ${word(row, "verified_by").replaceAll("_", " ")}`);
      add(story.told_at, story.told_at === undefined ? "not told yet" : "told", story.told_at === undefined ? "its event was not confirmed" : "Export Archived on the bus");
    } else {
      if (story.attempts) add(null, "claimed", many(story.attempts, "attempt"));
      add(story.failing_since, story.failing_since === undefined ? "" : "failing", "since then");
      add(row[column.changed_at], name.replaceAll("_", " "), story.reason === undefined ? "" : WORDS[story.reason]);
      if (name === "waiting" || name === "failing") add(story.next_try_at, "next try", "by itself");
    }
    return make("ol", { class: "steps" }, ...steps
      .filter(([ms, what]) => what && (ms !== null || ["linked", "copied", "claimed", "not told yet"].includes(what)))
      .map(([ms, what, more]) => make("li", {}, make("b", { text: what }), make("span", { class: "when", text: ms === null ? "" : moment(ms, true) }), make("span", { text: more }))));
  }

  // --- orders and their windows ---

  const MARKS = { archived: "", on_its_way: "…", failed: "×", missing: "!", not_due: "" };
  const SAYS = { archived: "archived", on_its_way: "on its way", failed: "failed", missing: "due and missing", not_due: "not due yet" };

  function weekOf(day) {  // ISO 8601: the week's Thursday says the year
    const thursday = new Date(day.valueOf() + (3 - ((day.getUTCDay() + 6) % 7)) * DAY);
    const year = thursday.getUTCFullYear();
    return [year, Math.floor((thursday - Date.UTC(year, 0, 1)) / (7 * DAY)) + 1];
  }
  // Where a window stands: in which line of the calendar (a year, or half of one), column and row.
  function placeOf(every, from) {
    const day = new Date(`${from}T00:00:00Z`);
    const year = day.getUTCFullYear();
    if (every === "month") return [`${year}`, day.getUTCMonth() + 1, 1];
    if (every === "week") {
      const [weeksYear, week] = weekOf(day);
      return week <= 26 ? [`${weeksYear} Jan to Jun`, week, 1] : [`${weeksYear} Jul to Dec`, week - 26, 1];
    }
    const half = day.getUTCMonth() < 6 ? 0 : 6;
    const first = Date.UTC(year, half, 1);
    const lead = (new Date(first).getUTCDay() + 6) % 7;
    const column = Math.floor(((day - first) / DAY + lead) / 7) + 1;
    return [`${year} ${half ? "Jul to Dec" : "Jan to Jun"}`, column, ((day.getUTCDay() + 6) % 7) + 1];
  }

  function showOrders() {
    if (!DOC.coverage) return;
    const { orders, states, counts } = DOC.coverage;
    document.querySelector(".legend").append(
      ...states.map((name) => make("li", {}, make("span", { class: `cell mark ${name}`, "aria-hidden": "true", text: MARKS[name] }), `${SAYS[name]} (${counts[name].toLocaleString("en")})`)));
    let open = 0;
    for (const order of orders) {
      const told = Object.fromEntries(states.map((name) => [name, order.left_out[name] ?? 0]));
      for (const window of order.windows) told[states[window[2]]] += 1;
      const summary = [order.report_type, order.output_format, `every ${order.every}`, ...states.filter((name) => told[name]).map((name) => `${told[name].toLocaleString("en")} ${SAYS[name]}`)].filter(Boolean).join(" · ");
      const box = make("div", { class: "order" }, make("h3", { text: order.name }), make("p", { text: summary }));
      at("orders").append(box);
      const isOpen = orders.length <= 8 || ((told.missing || told.failed) && open++ < 8);
      later(box, isOpen, "Its windows", (into) => showYears(order, into));
    }
  }

  function later(box, isOpen, title, fill) {  // a hundred orders of ten years are made when they are looked at
    if (isOpen) return fill(box);
    const details = make("details", {}, make("summary", { text: title }));
    details.addEventListener("toggle", () => fill(details), { once: true });
    box.append(details);
  }

  function showYears(order, into) {
    const years = new Map();
    order.windows.forEach((window, place) => {
      const [year, column, row] = placeOf(order.every, window[0]);
      if (!years.has(year)) years.set(year, []);
      years.get(year).push([place, column, row]);
    });
    const newest = [...years.keys()].reverse();
    const several = order.every === "month" ? 3 : 2;
    const cells = [];
    const show = (list, box) => {
      for (const year of list) {
        const grid = make("div", { class: `cells ${order.every}`, role: "group", "aria-label": `${order.name}, ${year}` });
        for (const [place, column, row] of years.get(year)) grid.append(cellOf(order, place, column, row, cells));
        grid.lastElementChild.tabIndex = 0;  // one stop of the Tab key each; arrows go on from there
        box.append(make("div", { class: "year" }, make("b", { text: year, "aria-hidden": "true" }), grid));
      }
    };
    show(newest.slice(0, several), into);
    if (newest.length > several) later(into, false, `Earlier: ${newest.length > several + 1 ? `${newest.at(-1)} to ` : ""}${newest[several]}`, (box) => show(newest.slice(several), box));
    const older = Object.values(order.left_out).reduce((sum, number) => sum + number, 0);
    if (older) into.append(make("p", { class: "hint", text: `${many(older, "older window")} are counted, not shown: archiver coverage --order tells them.` }));
  }

  function cellOf(order, place, column, row, cells) {
    const window = order.windows[place];
    const name = DOC.coverage.states[window[2]];
    const label = `${window[0] === window[1] ? window[0] : `${window[0]} to ${window[1]}`}: ${SAYS[name]}`;
    const cell = make("button", { type: "button", class: `cell ${name}`, "aria-label": label, title: label, "aria-pressed": "false", tabindex: "-1", text: MARKS[name] });
    cell.style.gridColumn = column;
    cell.style.gridRow = row;
    cells[place] = cell;
    const across = { month: 12, week: 26, day: 1 }[order.every];
    const steps = order.every === "day" ? { ArrowLeft: -7, ArrowRight: 7, ArrowUp: -1, ArrowDown: 1 } : { ArrowLeft: -1, ArrowRight: 1, ArrowUp: across, ArrowDown: -across };
    cell.addEventListener("keydown", (event) => {
      const ends = { Home: cells.findIndex(Boolean), End: cells.length - 1 };
      const to = event.key in ends ? cells[ends[event.key]] : cells[place + (steps[event.key] ?? NaN)];
      if (!(event.key in ends) && !(event.key in steps)) return;
      event.preventDefault();
      if (!to) return;
      for (const other of to.parentElement.children) other.tabIndex = -1;
      to.tabIndex = 0;
      to.focus();
    });
    cell.addEventListener("click", () => {
      for (const other of document.querySelectorAll('.cell[aria-pressed="true"]')) other.setAttribute("aria-pressed", "false");
      cell.setAttribute("aria-pressed", "true");
      showWindow(order, window, name, cell);
    });
    return cell;
  }

  function showJob(id) {
    for (const name of FIELDS) at(name).value = { q: id, dates: "data" }[name] ?? "";
    filter();
    const button = document.querySelector("#table .open");
    button.click();
    button.focus();
    at("jobs").scrollIntoView();
  }

  let rowsById = null;
  function showWindow(order, window, name, cell) {
    rowsById ??= new Map(ROWS.map((row) => [row[0], row]));
    const jobs = window[3].map(([id, cycle]) => {
      const row = rowsById.get(id);
      const told = row ? [word(row, "state").replaceAll("_", " "), size(row[column.size_bytes]), moment(row[column.changed_at])].filter(Boolean).join(" · ") : "not among the jobs listed below";
      const show = make("button", { type: "button", text: "Show", "aria-label": `Show job ${id} among the jobs`, on: { click: () => showJob(id) } });
      return make("li", { class: "which" }, make("code", { text: id }), make("span", { text: [cycle && `cycle ${cycle}`, told].filter(Boolean).join(" · ") }), row ? show : null);
    });
    const panel = at("window");
    panel.hidden = false;
    cell.closest(".order").append(panel);
    panel.replaceChildren(
      make("h3", { text: `${order.name}: ${window[0] === window[1] ? window[0] : `${window[0]} to ${window[1]}`}` }),
      make("p", {}, state(name), jobs.length ? ` · ${many(jobs.length, "job")}${jobs.length > 1 ? ", the newest revision last" : ""}` : " · no job was ordered"),
      jobs.length ? make("ul", {}, ...jobs) : null,
    );
  }

  // --- archived per day ---

  let charts = [];
  function showChart() {
    const box = at("chart");
    if (!box) return;
    for (const chart of charts) chart.destroy();
    const paint = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const [faint, grid, bar, late] = ["--faint", "--grid", "--bar", "--late"].map(paint);
    const days = DOC.days.map(([day]) => Date.parse(`${day}T00:00:00Z`) / 1000);
    const seconds = DOC.days.flatMap((day) => [day[3], day[4]]).filter((value) => value !== null);
    const longest = Math.max(0, ...seconds);
    const [unit, one] = longest >= 2 * 86400 ? ["days", 86400] : longest >= 7200 ? ["hours", 3600] : longest >= 120 ? ["minutes", 60] : ["seconds", 1];
    const scaled = (place) => DOC.days.map((day) => (day[place] === null ? null : day[place] / one));
    const last = days.at(-1);
    const range = [Math.min(days[0], last - 13 * 86400) - 43200, last + 43200];
    const reading = make("p", { class: "chart-title reading" });
    const tell = (place) => {
      const [day, exports, bytes, median, most] = DOC.days[place ?? DOC.days.length - 1];
      reading.textContent = `${day}: ${many(exports, "export")}, ${size(bytes)}${median === null ? "" : `; half within ${lasting(median)}, 95 % within ${lasting(most)}`}`;
    };
    const axis = { stroke: faint, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 }, font: `12px ${paint("--font")}` };
    const utc = (ts) => uPlot.tzDate(new Date(ts * 1000), "Etc/UTC");
    const monthDay = (_, splits, __, ___, increment) => splits.map((ts) => {
      const day = new Date(ts * 1000).toISOString();
      return increment < 86400 ? "" : increment >= 28 * 86400 ? day.slice(0, 7) : day.slice(5, 10);
    });
    const options = (height, series, label, values) => ({
      width: Math.max(240, box.clientWidth - 12),
      height,
      tzDate: utc,
      legend: { show: false },
      cursor: { sync: { key: "days" }, drag: { x: false, y: false }, y: false, points: { show: false } },
      scales: { x: { range: () => range }, y: { range: (_, low, high) => [0, Math.max(high * 1.08 || 1, 1e-3)] } },
      axes: [{ ...axis, values: monthDay, space: 60 }, { ...axis, size: 58, values, incrs: label === "exports" ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000] : undefined }],
      series: [{}, ...series],
      hooks: { setCursor: [(chart) => tell(chart.cursor.idx)] },
    });
    const bars = uPlot.paths.bars({ size: [0.72, 40], align: 0 });
    const plain = (_, splits) => splits.map((value) => value.toLocaleString("en"));
    const line = (place, dash) => ({ stroke: late, width: 2, dash, spanGaps: false, points: { show: true, size: 4, fill: late, stroke: late } });
    box.replaceChildren(reading);
    box.append(make("p", { class: "chart-title" }, "Exports"));
    charts = [new uPlot(options(170, [{ stroke: bar, fill: bar, paths: bars, points: { show: false } }], "exports", plain), [days, DOC.days.map((day) => day[1])], box)];
    if (seconds.length) {
      box.append(make("p", { class: "chart-title" }, `From completion to archive, in ${unit}`, make("span", { class: "key", text: "half of the exports within" }), make("span", { class: "key dashed", text: "95 % within" })));
      charts.push(new uPlot(options(150, [line(3), line(4, [5, 4])], unit, plain), [days, scaled(3), scaled(4)], box));
    }
    tell(null);
  }
  function showDays() {
    const details = at("days-table");
    if (!details) return;
    details.addEventListener("toggle", () => {
      const head = ["Day (UTC)", "Exports", "Size", "Half within", "95 % within"];
      const rows = DOC.days.filter((day) => day[1]).reverse().map(([day, exports, bytes, median, most]) =>
        make("tr", {}, ...[day, exports.toLocaleString("en"), size(bytes), median === null ? "–" : lasting(median), most === null ? "–" : lasting(most)].map((text, place) => make("td", { class: place ? "number" : "when", text }))));
      details.append(make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Archived per day, as a table" }, make("table", {},
        make("thead", {}, make("tr", {}, ...head.map((text, place) => make("th", { scope: "col", class: place ? "number" : null, text })))),
        make("tbody", {}, ...rows))));
    }, { once: true });
  }

  // --- begin ---

  offer("state", "state");
  offer("type", "report_type");
  offer("format", "output_format");
  recall();
  let pause = 0;
  form.addEventListener("input", (event) => {
    clearTimeout(pause);
    if (event.target.type === "search") pause = setTimeout(filter, 120);  // not at each letter
    else filter();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  filter();
  showOrders();
  showDays();
  showChart();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showChart);
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) showChart();
    width = innerWidth;
  });
  performance.measure("page", { start: begun });
})();
