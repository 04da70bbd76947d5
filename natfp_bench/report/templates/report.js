// Sorts and filters the tables, draws and saves the figures. Without it only the charts are missing.
"use strict";
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

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

  function sort(table, header, column) {
    const descending = header.getAttribute("aria-sort") === "ascending";
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

  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => sort(table, header, column));
    });
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
      if (!section.hidden) shown += rows;
    }
    form.elements.count.textContent = shown === all ? "" : `${shown} of ${all} rows`;
  }
  if (form) {
    form.hidden = false;
    form.addEventListener("input", filter);
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
        node[name] = Math.min(value, 110);
      } else if (typeof value === "object" && name !== "datasets") narrow(value, width);
    }
  }

  // Colours that are too dark for a dark page. Texts in the data are never colours.
  const LIGHTER = {
    "#0072b2": "#4fa9de", "#d55e00": "#f0894a", "#009e73": "#3dc49a", "#cc79a7": "#dd9cc1", "#e69f00": "#f0b740",
    "#7f6a00": "#c5b04a", "#555555": "#b5b5b5", "#767676": "#a0a0a0",
  };
  function lighter(node) {
    for (const [name, value] of Object.entries(node ?? {})) {
      if (name === "data" || name === "datasets" || name === "domain") continue;
      if (typeof value === "object") lighter(value);
      else if (Object.hasOwn(LIGHTER, value)) node[name] = LIGHTER[value];
    }
  }

  function themed(spec, width) {
    const style = getComputedStyle(document.documentElement);
    if (dark.matches) lighter(spec);
    const ink = style.getPropertyValue("--ink").trim();
    spec.config.background = "transparent";
    spec.config.text = { ...spec.config.text, color: ink };
    Object.assign(spec.config.axis, { labelColor: ink, titleColor: ink, gridColor: style.getPropertyValue("--rule").trim() });
    Object.assign(spec.config.legend, { labelColor: ink, titleColor: ink });
    if (width < 500) {
      narrow(spec, width);
      // Numbers in the cells of a large table would overlap.
      if (spec.usermeta?.columns > 8) spec.layer = spec.layer.filter((layer) => layer.mark.type !== "text");
      spec.config.axis.labelLimit = 110;
      spec.config.axis.titleLimit = width - 60;
    }
    if (!spec.usermeta?.fixed) {
      spec.width = "container";
      spec.autosize = { type: "fit-x", contains: "padding" };
    }
    return spec;
  }

  async function draw(figure) {
    const place = figure.querySelector(".chart");
    if (drawn.has(figure)) drawn.get(figure)?.finalize();
    drawn.set(figure, null);
    const options = { actions: false, renderer: "svg", tooltip: { theme: dark.matches ? "dark" : "light" } };
    drawn.set(figure, await window.vegaEmbed(place, themed(specification(figure), place.clientWidth), options));
    for (const button of figure.querySelectorAll("[data-save]")) button.hidden = false;
  }

  async function save(figure, kind) {
    const paper = document.createElement("div");
    const { view, finalize } = await window.vegaEmbed(paper, specification(figure), { actions: false, renderer: "svg" });
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
    dark.addEventListener("change", () => [...drawn.keys()].forEach(draw));
    window.addEventListener("beforeprint", () => [...figures].filter((figure) => !drawn.has(figure)).forEach(draw));
  }
})();
