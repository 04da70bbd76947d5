// Sorts and filters the tables, draws and saves the figures, keeps choices in the address. Without it only the charts
// are missing.
"use strict";
(() => {
  // Choices after the # of the address: "#fig-length" is a place, "#tag=seeds&sort=0.3.d" are choices, and both are
  // "#at=fig-words&pick.words=low". What stands after the # also works on pages that were opened as files.
  const state = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
  function keep(name, value) {
    if (value) state.set(name, value);
    else state.delete(name);
    state.delete("at");
    history.replaceState(null, "", state.size ? `#${state}` : location.pathname.split("/").pop());
  }

  async function copy(text, button) {
    const said = button.textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Pages that were opened as files may not use the clipboard: the old way needs a selection.
      const field = document.createElement("textarea");
      field.value = text;
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = said; }, 1500);
  }
  const pageAddress = () => location.href.split("#")[0];
  for (const button of document.querySelectorAll("[data-copy-link]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const place = button.dataset.copyLink;
      if (place) history.replaceState(null, "", `#${place}`);
      const chosen = place && button.closest("figure")?.dataset.picked;
      const name = place?.replace("fig-", "");
      if (chosen) history.replaceState(null, "", `#${new URLSearchParams({ at: place, [`pick.${name}`]: chosen })}`);
      copy(pageAddress() + location.hash, button);
    });
  }
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(document.getElementById(button.dataset.copy).textContent, button));
  }

  // Menus: one open at a time; Escape closes it.
  const menus = [...document.querySelectorAll("details.menu")];
  for (const menu of menus) {
    menu.addEventListener("toggle", () => { if (menu.open) for (const other of menus) if (other !== menu) other.open = false; });
    menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      menu.open = false;
      menu.querySelector("summary").focus();
    });
  }
  document.addEventListener("click", (event) => {
    for (const menu of menus) if (!menu.contains(event.target)) menu.open = false;
  });

  // What a column means, shown beside its heading on hover and on focus.
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.role = "tooltip";
  tip.hidden = true;
  document.body.append(tip);
  let explained = null;
  function explain(at, shown) {
    explained = shown ? at : null;
    tip.hidden = !shown;
    if (!shown) return;
    tip.textContent = at.dataset.tip;
    const box = at.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(box.left, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${box.bottom + 4}px`;
  }
  for (const at of document.querySelectorAll("[data-tip]")) {
    at.setAttribute("aria-describedby", "tip");
    at.addEventListener("mouseenter", () => explain(at, true));
    at.addEventListener("mouseleave", () => explain(at, false));
    at.addEventListener("focusin", () => explain(at, true));
    at.addEventListener("focusout", () => explain(at, false));
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && explained) explain(explained, false); });
  document.addEventListener("scroll", () => { if (explained) explain(explained, true); }, { capture: true, passive: true });

  // Wide tables: the columns that matter, until a reader asks for the rest.
  for (const button of document.querySelectorAll("[data-more]")) {
    const table = button.parentElement.previousElementSibling;
    button.hidden = false;
    table.classList.add("less");
    button.addEventListener("click", () => {
      const less = table.classList.toggle("less");
      button.textContent = less ? "More columns" : "Fewer columns";
      button.setAttribute("aria-expanded", String(!less));
    });
  }

  // Sorting: within each section of a table, because only rows of one section compare.
  function key(row, column) {
    const cell = row.children[column];
    const given = cell.dataset.sort;
    return given === undefined ? cell.textContent.trim() : Number(given);
  }

  function compare(a, b) {
    const empty = (Number(a === "") - Number(b === ""));
    if (empty) return { always: empty };
    if (typeof a === "number" && typeof b === "number") return { plain: a - b };
    return { plain: String(a).localeCompare(String(b), "en", { numeric: true }) };
  }

  function sort(table, header, column, descending) {
    for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    for (const body of table.tBodies) {
      const rows = [...body.rows].filter((row) => !row.classList.contains("part"));
      rows.sort((one, other) => {
        const found = compare(key(one, column), key(other, column));
        return found.always ?? (descending ? -found.plain : found.plain);
      });
      body.append(...rows);
    }
  }

  const tables = document.querySelectorAll("table.sortable");
  tables.forEach((table, place) => {
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => {
        const descending = header.getAttribute("aria-sort") === "ascending";
        sort(table, header, column, descending);
        keep("sort", `${place}.${column}.${descending ? "d" : "a"}`);
      });
    });
  });
  const sorted = /^(\d+)\.(\d+)\.([ad])$/.exec(state.get("sort") ?? "");
  if (sorted) {
    const header = tables[sorted[1]]?.tHead.rows[0].cells[sorted[2]];
    if (header) sort(tables[sorted[1]], header, Number(sorted[2]), sorted[3] === "d");
  }

  // Filtering: whole settings by preset and corpus, rows by tag and words.
  const form = document.getElementById("filters");
  function filter() {
    const wanted = Object.fromEntries(new FormData(form));
    const words = wanted.search.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0, all = 0;
    for (const section of document.querySelectorAll("section.setting")) {
      const fits = ["preset", "corpus"].every((name) => !wanted[name] || section.dataset[name] === wanted[name]);
      let rows = 0;
      for (const body of section.querySelectorAll("table.grid tbody")) {
        let inPart = 0;
        for (const row of body.rows) {
          if (row.classList.contains("part")) continue;
          const tags = row.dataset.tags ? row.dataset.tags.split("|") : [];
          const text = row.textContent.toLowerCase();
          // Attributors have no tags: a tag selects tasks.
          const tagged = !wanted.tag || !tags.length || tags.includes(wanted.tag);
          const found = tagged && words.every((word) => text.includes(word) || tags.includes(word));
          row.hidden = !found;
          all += 1;
          if (found && (!wanted.tag || tags.length)) inPart += 1;
        }
        const part = body.querySelector("tr.part");
        if (part) part.hidden = !inPart;
        rows += inPart;
      }
      section.hidden = !fits || !rows;
      const folded = section.querySelector("details.folded");
      if (folded && (wanted.preset || wanted.search || wanted.tag)) folded.open = true;
      if (!section.hidden) shown += rows;
    }
    form.elements.count.textContent = shown === all ? "" : `${shown} of ${all} rows`;
  }
  if (form) {
    form.hidden = false;
    const fields = ["search", "preset", "corpus", "tag"];
    for (const name of fields) if (state.get(name)) form.elements[name].value = state.get(name);
    form.addEventListener("input", () => {
      filter();
      for (const name of fields) keep(name, form.elements[name].value);
    });
    form.addEventListener("submit", (event) => event.preventDefault());
    filter();
  }

  // Figures: drawn when they are close to the screen, in the colours of the page; saved in the colours for paper.
  const drawn = new Map();
  const specification = (figure) => JSON.parse(figure.querySelector("script").textContent);

  // Gives all legends of a specification fewer columns.
  function narrow(node, width) {
    for (const [name, value] of Object.entries(node ?? {})) {
      if (name === "legend" && value?.columns) {
        value.columns = Math.max(1, Math.floor((value.columns * width) / 620));
        value.labelLimit = width - 40;
      } else if (name === "minExtent") {
        node[name] = Math.min(value, 128);
      } else if (name === "maxExtent" || (name === "labelLimit" && value < 200)) {
        node[name] = Math.min(value, 128);
      } else if (typeof value === "object" && name !== "datasets") narrow(value, width);
    }
  }

  function fitted(spec, width) {
    spec.config.background = "transparent";
    if (width < 500) {
      narrow(spec, width);
      // Numbers in the cells of a large table would overlap.
      if (spec.usermeta?.columns > 8) spec.layer = spec.layer.filter((layer) => layer.mark.type !== "text");
      spec.config.axis.labelLimit = 128;
      spec.config.axis.labelFontSize = 11;
      spec.config.axis.titleLimit = width - 60;
    }
    if (spec.vconcat) {
      // Words beside the plot give way on a phone; names of factors and the plot share the rest.
      const beside = width < 500 ? 10 : spec.usermeta.beside;
      const names = width < 500 ? 134 : 156;
      for (const panel of spec.vconcat) {
        panel.width = Math.max(120, width - names - beside - 24);
        if (width < 500) panel.layer = panel.layer.filter((layer) => layer.mark.type !== "text");
      }
    } else if (!spec.usermeta?.fixed) {
      spec.width = "container";
      spec.autosize = { type: "fit-x", contains: "padding" };
    }
    return spec;
  }

  // Expressions are interpreted, because the pages allow no code that is made at run time.
  const options = { actions: false, renderer: "svg", ast: true };

  async function draw(figure) {
    const place = figure.querySelector(".chart");
    if (drawn.has(figure)) return;
    drawn.set(figure, null);
    const made = await window.vegaEmbed(place, fitted(specification(figure), place.clientWidth), options);
    drawn.set(figure, made);
    for (const button of figure.querySelectorAll("[data-save]")) button.hidden = false;
    if (specification(figure).params) await chosen(figure, made.view);
  }

  // The choice of a figure's menu is kept in the address.
  async function chosen(figure, view) {
    const name = figure.id.replace("fig-", "");
    const wanted = state.get(`pick.${name}`);
    const known = [...figure.querySelectorAll(".vega-bindings option")].map((option) => option.value);
    if (wanted && known.includes(wanted)) {
      await view.signal("picked", wanted).runAsync();
      figure.dataset.picked = wanted;
    }
    view.addSignalListener("picked", (_, value) => {
      figure.dataset.picked = value;
      keep(`pick.${name}`, value);
    });
  }

  async function save(figure, kind) {
    const paper = document.createElement("div");
    const { view, finalize } = await window.vegaEmbed(paper, specification(figure), options);
    const state = drawn.get(figure)?.view.getState({ data: () => false, signals: (name) => name === "picked" });
    if (state && "picked" in state.signals) view.signal("picked", state.signals.picked);
    await view.runAsync();
    const link = document.createElement("a");
    const svg = async () => URL.createObjectURL(new Blob([await view.toSVG()], { type: "image/svg+xml" }));
    link.href = kind === "svg" ? await svg() : await view.toImageURL("png", 2);
    const picked = state?.signals.picked === undefined ? "" : `-${state.signals.picked.replace(/[^\w.]+/g, "-")}`;
    link.download = `${figure.dataset.name}${picked}.${kind}`;
    link.click();
    finalize();
  }

  const figures = document.querySelectorAll("figure.figure");
  if (figures.length && window.vegaEmbed) {
    const near = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        near.unobserve(entry.target);
        draw(entry.target);
      }
    }, { rootMargin: "600px" });
    for (const figure of figures) {
      near.observe(figure);
      for (const button of figure.querySelectorAll("[data-save]")) {
        button.addEventListener("click", () => save(figure, button.dataset.save));
      }
    }
    // The rest is drawn when there is time: who prints a page sees all of it.
    const idle = window.requestIdleCallback ?? ((then) => setTimeout(then, 50));
    const rest = [...figures];
    const visible = (figure) => figure.querySelector(".chart").clientWidth > 0;
    const next = async () => {
      const figure = rest.shift();
      if (!figure) { document.documentElement.dataset.drawn = "all"; return; }
      if (visible(figure)) await draw(figure);
      idle(next);
    };
    window.addEventListener("load", () => idle(next));
    for (const folded of document.querySelectorAll("details.folded")) {
      folded.addEventListener("toggle", () => folded.querySelectorAll("figure.figure").forEach(draw));
    }
  }
  if (state.get("at")) document.getElementById(state.get("at"))?.scrollIntoView();
})();
