// What the dashboard can do beyond links and forms; without it everything can still be read, and every form works.
"use strict";
(() => {
  const body = document.body;
  const base = body.dataset.base;
  const $ = (selector, within = document) => within.querySelector(selector);
  const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
  const announce = (text) => { $("#announce").textContent = text; };

  // -- times --

  const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  function since(moment) {
    const seconds = (moment - Date.now() - skew) / 1000;
    const size = Math.abs(seconds);
    const [unit, word] = UNITS.find(([unit]) => size >= unit) || [1, "s"];
    const text = `${Math.floor(size / unit)} ${word}`;
    return seconds > 0 ? `in ${text}` : `${text} ago`;
  }
  // The page's own time counts, not this machine's clock.
  const shown = $("[data-now]");
  const skew = shown ? Date.parse(shown.dataset.now) - Date.now() : 0;
  function tellTimes() {
    for (const time of $$("time[data-ago]")) {
      const text = since(Date.parse(time.dateTime));
      if (time.textContent !== text) time.textContent = text;
    }
  }
  setInterval(tellTimes, 5000);

  // -- small things: menu, forms that open, copying --

  document.addEventListener("click", (event) => {
    const target = event.target;
    const menu = target.closest("[data-menu]");
    if (menu) menu.setAttribute("aria-expanded", String(body.classList.toggle("menu-open")));
    for (const pop of $$("details.pop[open]")) if (!pop.contains(target)) pop.open = false;
    const copier = target.closest("[data-copy]");
    if (copier) copy(copier);
    if (target.closest("[data-palette]")) openPalette();
    if (target.closest("[data-show-news]")) location.reload();
    const row = target.closest("tr[data-href]");
    if (row && !target.closest("a, button, input, summary, label, details")) location.href = row.dataset.href;
    if (target.closest("[data-close]")) target.closest("dialog").close();
  });
  document.addEventListener("toggle", (event) => {
    const pop = event.target;
    if (!(pop instanceof HTMLDetailsElement) || !pop.open || !pop.classList.contains("pop")) return;
    const first = $("input:not([type=hidden]), select, textarea, button", $(".panel", pop));
    if (first) first.focus();
  }, true);
  function copy(button) {
    const source = button.dataset.copy ? $(button.dataset.copy) : button.previousElementSibling;
    navigator.clipboard.writeText(source.textContent.trim()).then(() => {
      const label = button.innerHTML;
      button.textContent = "Copied";
      announce("Copied");
      setTimeout(() => { button.innerHTML = label; }, 1200);
    });
  }
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
    if (event.target.matches("[data-select-page]")) {
      for (const box of $$("input[name=job]")) box.checked = event.target.checked;
    }
    if (event.target.matches("input[name=job], [data-select-page]")) tellSelection();
  });

  // -- selecting rows --

  function tellSelection() {
    const boxes = $$("input[name=job]");
    const chosen = boxes.filter((box) => box.checked);
    for (const box of boxes) box.closest("tr").setAttribute("aria-selected", String(box.checked));
    for (const part of $$("[data-selected]")) part.textContent = String(chosen.length);
    for (const bar of $$("[data-with-selection]")) bar.hidden = chosen.length === 0;
    for (const bar of $$("[data-without-selection]")) bar.hidden = chosen.length > 0;
  }

  const rows = () => $$("[data-rows] > tr");
  const here = () => $("[data-rows] > tr.here");
  function move(step) {
    const all = rows();
    if (!all.length) return;
    const at = all.indexOf(here());
    const next = all[Math.max(0, Math.min(all.length - 1, at < 0 ? (step > 0 ? 0 : all.length - 1) : at + step))];
    for (const row of all) row.classList.toggle("here", row === next);
    next.scrollIntoView({ block: "nearest" });
    const link = $("a", next);
    if (link) link.focus({ preventScroll: true });
  }

  // -- keys --

  let prefix = "";
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      openPalette();
      return;
    }
    const open = $("details.pop[open]");
    if (event.key === "Escape" && open) {
      open.open = false;
      $("summary", open).focus();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || $("dialog[open]")) return;
    if (event.target.closest("input, select, textarea, [contenteditable]")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (prefix === "g") {
      prefix = "";
      const link = $$(".nav a").find((each) => each.dataset.key === event.key);
      if (link) { event.preventDefault(); location.href = link.href; }
      return;
    }
    const act = KEYS[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  const KEYS = {
    g() { prefix = "g"; setTimeout(() => { prefix = ""; }, 1500); },
    "/"() { const box = $("[data-filter]"); if (box) { box.focus(); box.select(); } else location.href = `${base}/jobs`; },
    j() { move(1); },
    k() { move(-1); },
    x() {
      const box = here() && $("input[name=job]", here());
      if (box) { box.checked = !box.checked; tellSelection(); }
    },
    r() {
      const one = $("[data-key=r]");
      const button = $$("input[name=job]:checked").length ? $("[data-bulk=retry]") : here() && here().dataset.id ? null : one;
      if (button) button.click();
      else if (here() && $("input[name=job]", here())) { $("input[name=job]", here()).checked = true; tellSelection(); $("[data-bulk=retry]").click(); }
    },
    Enter() { const link = here() && $("a", here()); if (link) location.href = link.href; },
    t() { const button = $("[data-theme-next]"); if (button) button.click(); else nextTheme(); },
    "?"() { openHelp(); },
  };
  function nextTheme() {
    const order = ["system", "light", "dark"];
    const next = order[(order.indexOf(document.documentElement.dataset.theme) + 1) % order.length];
    document.documentElement.dataset.theme = next;
    document.cookie = `headrace_theme=${next}; path=${base || "/"}; max-age=31536000; samesite=strict`;
    announce(`Theme: ${next}`);
    draw();
  }

  // -- dialogs --

  function dialog(className, label) {
    const made = document.createElement("dialog");
    made.className = className;
    made.setAttribute("aria-label", label);
    made.addEventListener("close", () => made.remove());
    made.addEventListener("click", (event) => { if (event.target === made) made.close(); });
    body.append(made);
    return made;
  }
  function element(name, text = "", attributes = {}) {
    const made = document.createElement(name);
    made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  const HELP = [
    ["/", "filter jobs"], ["j k", "next, previous row"], ["Enter", "open the row"], ["x", "select the row"], ["r", "retry"],
    ["g then a letter", "go to a page: o overview, j jobs, f failures, q queues, s schedules, w workflows, k workers, l limits, d database, p operations, a audit"],
    ["Ctrl K", "commands; paste a job's id to open it"], ["t", "light, dark, as the system"], ["?", "this help"],
  ];
  function openHelp() {
    const made = dialog("", "Keyboard");
    const inner = element("div", "", { class: "help" });
    inner.append(element("h2", "Keyboard"));
    const list = element("dl");
    for (const [keys, what] of HELP) {
      const term = element("dt");
      term.append(element("kbd", keys));
      list.append(term, element("dd", what));
    }
    inner.append(list, element("button", "Close", { "data-close": "", type: "button" }));
    made.append(inner);
    made.showModal();
  }

  const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
  function commands() {
    const pages = $$(".nav a").map((link) => ({ label: `Go to ${link.textContent.trim()}`, key: `g ${link.dataset.key}`, run: () => { location.href = link.href; } }));
    const actions = $$("[data-command]").map((part) => ({ label: part.dataset.command, key: "", run: () => part.click() }));
    return [...actions, ...pages,
      { label: "Failed jobs of the last hour", key: "", run: () => { location.href = `${base}/jobs?filter=${encodeURIComponent("state:failed finished>-1h")}`; } },
      { label: "Next theme", key: "t", run: nextTheme }, { label: "Keyboard help", key: "?", run: openHelp }];
  }
  function openPalette() {
    if ($("dialog.palette")) return;
    const made = dialog("palette", "Commands");
    const input = element("input", "", { type: "text", placeholder: "A page, a command, a job's id, or a filter", "aria-label": "Command", role: "combobox", "aria-expanded": "true", "aria-controls": "palette-list" });
    const list = element("ul", "", { role: "listbox", id: "palette-list", "aria-label": "Commands" });
    const all = commands();
    let found = [];
    let at = 0;
    const choose = (command) => { made.close(); command.run(); };
    function tell() {
      const text = input.value.trim();
      const words = text.toLowerCase().split(/\s+/);
      found = all.filter((each) => words.every((word) => each.label.toLowerCase().includes(word)));
      if (UUID.test(text)) found.unshift({ label: `Open job ${text}`, key: "", run: () => { location.href = `${base}/jobs/${text}`; } });
      else if (text) found.push({ label: `Filter jobs: ${text}`, key: "", run: () => { location.href = `${base}/jobs?filter=${encodeURIComponent(text)}`; } });
      at = Math.min(at, found.length - 1);
      list.replaceChildren(...found.map((each, index) => {
        const item = element("li", "", { role: "option", id: `palette-${index}`, "aria-selected": String(index === at) });
        item.append(element("span", each.label));
        if (each.key) item.append(element("kbd", each.key));
        item.addEventListener("click", () => choose(each));
        return item;
      }));
      input.setAttribute("aria-activedescendant", `palette-${at}`);
      const chosen = list.children[at];
      if (chosen) chosen.scrollIntoView({ block: "nearest" });
    }
    input.addEventListener("input", () => { at = 0; tell(); });
    input.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        at = Math.max(0, Math.min(found.length - 1, at + (event.key === "ArrowDown" ? 1 : -1)));
        tell();
      } else if (event.key === "Enter" && found[at]) choose(found[at]);
    });
    made.append(input, list);
    made.showModal();
    input.focus();
    tell();
  }

  // -- the filter's completion --

  const filter = $("[data-filter]");
  if (filter && filter.dataset.complete) {
    const list = element("ul", "", { class: "completions", role: "listbox", id: "completions", "aria-label": "Completions" });
    list.hidden = true;
    filter.after(list);
    filter.setAttribute("role", "combobox");
    filter.setAttribute("aria-controls", "completions");
    filter.setAttribute("aria-expanded", "false");
    let found = [];
    let at = -1;
    let asked = 0;
    const show = (words) => {
      found = words;
      at = -1;
      list.hidden = !words.length;
      filter.setAttribute("aria-expanded", String(!list.hidden));
      list.replaceChildren(...words.map((word) => {
        const item = element("li", "", { role: "option", "aria-selected": "false" });
        item.append(element("span", word.text), element("span", word.means || "", { class: "muted" }));
        item.addEventListener("mousedown", (event) => { event.preventDefault(); take(word); });
        return item;
      }));
    };
    let wait;
    const forget = () => { clearTimeout(wait); asked += 1; show([]); };
    const take = (word) => {
      const end = Math.max(word.end, filter.selectionStart);  // it may have been written on since they came
      filter.value = filter.value.slice(0, word.start) + word.text + filter.value.slice(end);
      const place = word.start + word.text.length;
      filter.setSelectionRange(place, place);
      forget();
      if (word.text.endsWith(":") || word.text.endsWith(".")) ask();
    };
    const ask = async () => {
      const mine = ++asked;
      const answer = await fetch(`${filter.dataset.complete}?text=${encodeURIComponent(filter.value)}&position=${filter.selectionStart}`);
      if (mine === asked && answer.ok) show(await answer.json());
    };
    const begun = (word) => word.text.toLowerCase().startsWith(filter.value.slice(word.start, filter.selectionStart).toLowerCase());
    filter.addEventListener("input", () => { clearTimeout(wait); show(found.filter(begun)); wait = setTimeout(ask, 120); });
    filter.addEventListener("focus", ask);
    filter.addEventListener("blur", forget);
    filter.addEventListener("keydown", (event) => {
      if (list.hidden) return;
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        at = (at + (event.key === "ArrowDown" ? 1 : -1) + found.length) % found.length;
        [...list.children].forEach((item, index) => item.setAttribute("aria-selected", String(index === at)));
        list.children[at].scrollIntoView({ block: "nearest" });
      } else if (event.key === "Tab" && found.length) { event.preventDefault(); take(found[Math.max(0, at)]); }
      else if (event.key === "Enter" && at >= 0) { event.preventDefault(); take(found[at]); }
      else if (event.key === "Escape") { event.preventDefault(); event.stopPropagation(); forget(); }
    });
  }

  // -- charts --

  const charts = [];
  function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
  // light-dark() in a custom property is only decided where a property uses it.
  function resolved(name) {
    const probe = element("span");
    probe.style.color = `var(${name})`;
    body.append(probe);
    const answer = getComputedStyle(probe).color;
    probe.remove();
    return answer || colour(name);
  }
  function draw() {
    for (const chart of charts.splice(0)) chart.destroy();
    if (!window.uPlot) return;
    const grid = { stroke: resolved("--line"), width: 1 };
    const axis = { stroke: resolved("--muted"), grid, ticks: { show: false }, font: "11px system-ui", size: 34, gap: 4 };
    for (const holder of $$("[data-chart]")) {
      const plan = JSON.parse(holder.dataset.chart);
      holder.replaceChildren();
      const format = (value) => value == null ? "–" : plan.unit === "s" ? seconds(value) : value.toLocaleString(undefined, { maximumFractionDigits: 1 });
      const series = plan.series.map((each) => ({
        label: each.label, stroke: resolved(each.colour), width: 1.6, dash: each.dash, spanGaps: false, points: { show: false },
        fill: each.fill ? resolved(each.colour).replace("rgb(", "rgba(").replace(")", ", .13)") : undefined,
        value: (_, value) => format(value),
      }));
      const zone = body.dataset.zone;
      const times = plan.data[0];
      const long = times.length && times[times.length - 1] - times[0] > 2 * 86400;
      const inZone = (options) => new Intl.DateTimeFormat("en-GB", { ...options, timeZone: zone, hourCycle: "h23" });
      const [day, hour, full] = [inZone({ day: "numeric", month: "short" }), inZone({ hour: "2-digit", minute: "2-digit" }), inZone({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" })];
      const clock = (at) => (long ? day : hour).format(at * 1000);
      const moment = (at) => full.format(at * 1000);
      const options = {
        width: holder.clientWidth, height: 168, padding: [10, 12, 0, 0], tzDate: (at) => window.uPlot.tzDate(new Date(at * 1000), zone),
        cursor: { points: { size: 6 }, sync: { key: "headrace" } }, legend: { live: true },
        scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.12 : 1] } },
        axes: [{ ...axis, size: 24, values: (_, moments) => moments.map(clock) }, { ...axis, size: 52, values: (_, values) => values.map(format) }],
        series: [{ label: "At", value: (_, at) => at == null ? "" : moment(at) }, ...series],
        hooks: { draw: [(chart) => marks(chart, plan.marks || [])] },
      };
      const chart = new window.uPlot(options, plan.data, holder);
      charts.push(chart);
    }
  }
  function marks(chart, moments) {
    const { ctx, bbox } = chart;
    ctx.save();
    ctx.strokeStyle = resolved("--accent");
    ctx.setLineDash([3, 4]);
    for (const mark of moments) {
      const x = Math.round(chart.valToPos(mark.at, "x", true));
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }
  function seconds(value) {
    if (value < 1) return `${Math.round(value * 1000)} ms`;
    if (value < 60) return `${value.toFixed(value < 10 ? 1 : 0)} s`;
    return value < 3600 ? `${Math.round(value / 60)} min` : `${(value / 3600).toFixed(1)} h`;
  }
  let resizing;
  window.addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(draw, 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  // -- live: rows do not move under the pointer --

  const MOST_OFTEN_MS = 2000;
  const WITHOUT_NEWS_MS = 5000;
  let busy = false;
  let stale = false;
  let last = Date.now();
  const inUse = (region) => $("details[open]", region) || (region.contains(document.activeElement) && document.activeElement.matches("input, select, textarea")) ||
    (String(getSelection()) && region.contains(getSelection().anchorNode));

  async function refresh() {
    const regions = $$("[data-live]");
    if (!regions.length || busy || document.hidden || $("dialog[open]")) return;
    busy = true;
    last = Date.now();
    stale = false;
    try {
      const answer = await fetch(location.href, { headers: { "X-Headrace-Live": "1" } });
      if (!answer.ok || answer.redirected) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const region of regions) {
        const next = fresh.getElementById(region.id);
        if (!next || inUse(region)) continue;
        if (region.dataset.live === "rows") keepRows(region, next);
        else if (region.innerHTML !== next.innerHTML) htmx.swap(region, next.innerHTML, { swapStyle: "innerHTML" });
      }
      for (const note of $$("[data-as-of] span")) note.textContent = $("[data-as-of] span", fresh)?.textContent ?? note.textContent;
      body.classList.add("live");
    } catch {
      body.classList.remove("live");
    } finally {
      busy = false;
    }
  }
  // Rows keep their places: those that are there are brought up to date, new ones are announced.
  function keepRows(region, next) {
    const fresh = new Map($$("tr[data-id]", next).map((row) => [row.dataset.id, row]));
    for (const row of $$("tr[data-id]", region)) {
      const other = fresh.get(row.dataset.id);
      fresh.delete(row.dataset.id);
      if (!other) continue;
      const [mine, theirs] = [$$("td", row), $$("td", other)];
      mine.forEach((cell, index) => {
        if (theirs[index] && !$("input", cell) && cell.innerHTML !== theirs[index].innerHTML) cell.innerHTML = theirs[index].innerHTML;
      });
    }
    const news = $("[data-news]");
    if (news && fresh.size) {
      const text = `${fresh.size} new`;
      if (news.hidden || $("button", news).textContent !== text) announce(`${fresh.size} new jobs`);
      $("button", news).textContent = text;
      news.hidden = false;
    }
  }

  if ($("[data-live]")) {
    let heard = false;
    const shownJobs = [...$$("[data-watch]").map((part) => part.dataset.watch), ...$$("[data-live] tr[data-id]").map((row) => row.dataset.id)];
    const watched = shownJobs.filter((id) => UUID.test(id)).slice(0, 200).map((id) => `job=${id}`).join("&");
    const stream = new EventSource(`${base}/api/v1/live${watched && `?${watched}`}`);
    stream.onopen = () => { heard = true; body.classList.add("live"); };
    for (const kind of ["change", "reset"]) stream.addEventListener(kind, () => { stale = true; });
    stream.onerror = () => { if (!heard) stream.close(); };
    setInterval(() => {
      const waited = Date.now() - last;
      if ((stale && waited >= MOST_OFTEN_MS) || waited >= WITHOUT_NEWS_MS) refresh();
    }, 500);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
    window.addEventListener("pagehide", () => stream.close());
  }

  const ownZone = $("[data-own-zone]");
  if (ownZone) {
    ownZone.hidden = false;
    ownZone.addEventListener("click", () => {
      $("[name=zone]").value = Intl.DateTimeFormat().resolvedOptions().timeZone;
      ownZone.form.requestSubmit();
    });
  }

  draw();
  tellTimes();
})();
