// The pages to play with: sliders of text, the game, and two results side by side. All data stand in the page.
"use strict";
(() => {
  const data = (id) => JSON.parse(document.getElementById(id)?.textContent ?? "null");
  const percent = (value) => `${Math.round(100 * value)}%`;
  function make(name, text = "", classes = "") {
    const element = document.createElement(name);
    element.textContent = text;
    if (classes) element.className = classes;
    return element;
  }
  function shape(name, attributes) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  }

  // How many texts until you know? One slider per curve; its points are those of the result.
  function slide(box, of) {
    const input = box.querySelector("input");
    const scale = box.querySelector("svg");
    const at = (share) => 600 * Math.min(1, Math.max(0, share));
    const update = () => {
      const point = of.points[Number(input.value)];
      const amount = `${point.at} ${point.at === 1 ? of.unit.replace(/s$/, "") : of.unit}`;
      box.querySelector("output").textContent = amount;
      input.setAttribute("aria-valuetext", `${amount}: ${percent(point.value)} right`);
      const range = point.low === null ? "no interval" : `95% interval ${percent(point.low)} to ${percent(point.high)}`;
      const ceiling = point.ceiling === null || point.ceiling === undefined ? "" : ` The ceiling of the same runs is ${percent(point.ceiling)}.`;
      const where = of.split ? `, on ${of.split}` : "";
      box.querySelector(".said").textContent =
        `${of.who} names the right ${of.target} with ${percent(point.value)} (${range})${where}; chance is ${percent(of.chance)}.${ceiling}`;
      scale.replaceChildren(shape("rect", { class: "line", x: 0, y: 19, width: 600, height: 2 }));
      if (point.low !== null) {
        const [low, high] = [at(point.low), at(point.high)];
        scale.append(shape("rect", { class: "interval", x: low, y: 12, width: Math.max(2, high - low), height: 16 }));
      }
      scale.append(shape("rect", { class: "chance", x: at(of.chance) - 1, y: 4, width: 2, height: 32 }));
      if (ceiling) scale.append(shape("rect", { class: "tick", x: at(point.ceiling) - 1, y: 4, width: 2, height: 32 }));
      scale.append(shape("rect", { class: "dot", x: at(point.value) - 4, y: 10, width: 8, height: 20, rx: 4 }));
      scale.setAttribute("aria-label", `Accuracy ${percent(point.value)} on a scale from 0 to 1, chance ${percent(of.chance)}`);
    };
    input.addEventListener("input", update);
    update();
  }
  const sliders = document.getElementById("sliders");
  if (sliders) {
    sliders.hidden = false;
    data("sliders-data").forEach((of, place) => slide(sliders.querySelector(`[data-slider="${place}"]`), of));
  }

  // The game.
  const rounds = data("game-data");
  const game = document.getElementById("game");
  if (game && rounds.length) {
    game.hidden = false;
    const byId = (id) => document.getElementById(id);
    const choose = game.querySelector("select");
    let round, order, place, guessed, tally;

    // A fixed shuffle: everybody has the same texts in the same order, and no rule to guess it by.
    function shuffled(count, seed) {
      const found = [...Array(count).keys()];
      let state = [...seed].reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) >>> 0, 7);
      for (let i = count - 1; i > 0; i -= 1) {
        state = (state * 1664525 + 1013904223) >>> 0;
        const j = Math.floor((state / 4294967296) * (i + 1));
        [found[i], found[j]] = [found[j], found[i]];
      }
      return found;
    }

    function start(id) {
      round = rounds.find((one) => one.id === id) ?? rounds[0];
      choose.value = round.id;
      order = shuffled(round.texts.length, round.id);
      place = 0;
      tally = { you: 0, played: 0, others: new Map() };
      const examples = byId("examples");
      examples.querySelector("div").replaceChildren(...round.levels.filter((level) => round.examples[level]?.length).map((level) => {
        const one = make("article", "", "text");
        one.append(make("h3", level), ...round.examples[level].map((text) => make("blockquote", text)));
        return one;
      }));
      byId("fair").textContent = round.held_out
        ? "The attributors have read other runs of each level, but none of the runs that wrote these texts; you may learn from texts of the very runs."
        : "The attributors have read thousands of other texts of the same runs; you may learn from two.";
      if (round.likelihoods.length) byId("fair").textContent += ` ${round.likelihoods.join(", ")} knows the likelihoods of the models.`;
      score();
      show();
    }

    function show() {
      guessed = null;
      const text = round.texts[order[place]];
      byId("text-of").textContent = `Text ${place + 1} of ${round.texts.length}`;
      byId("text").textContent = text.segments.map(([piece]) => piece).join("");
      byId("outcome").replaceChildren();
      byId("next").hidden = true;
      byId("choices").replaceChildren(...round.levels.map((level, at) => {
        const button = make("button", level);
        button.type = "button";
        if (at < 9) button.setAttribute("aria-keyshortcuts", String(at + 1));
        button.addEventListener("click", () => guess(level));
        return button;
      }));
    }

    function guess(level) {
      if (guessed !== null) return;
      guessed = level;
      const text = round.texts[order[place]];
      const right = level === text.level;
      tally.played += 1;
      tally.you += Number(right);
      for (const button of byId("choices").children) {
        button.disabled = true;
        if (button.textContent === text.level) button.classList.add("true");
        else if (button.textContent === level) button.classList.add("false");
      }
      byId("text").replaceChildren(...text.segments.map(([piece, kind]) => (kind ? make("mark", piece, kind) : document.createTextNode(piece))));
      const said = make("p", `${right ? "✓ Right" : "✗ Wrong"}: ${text.level} wrote it.`, right ? "hit" : "miss");
      const list = make("ul", "", "answers");
      for (const [who, what, sure, correct] of text.answers) {
        const line = make("li");
        const mark = correct === null ? "–" : correct ? "✓" : "✗";
        line.append(make("span", `${who} `, "who"), make("span", `${mark} ${what} ${percent(sure)}`, correct === null ? "of" : correct ? "hit" : "miss"));
        list.append(line);
        const before = tally.others.get(who) ?? 0;
        tally.others.set(who, before + (correct === null ? 1 / Math.max(2, Number(/\d+/.exec(what)?.[0] ?? 2)) : Number(correct)));
      }
      const telling = text.segments.some(([, kind]) => kind);
      const about = telling ? "Marked words are telling: blue ones are more frequent in texts of this level, brown ones in those of another." : "It has none of the telling words.";
      byId("outcome").replaceChildren(said, list, make("p", about, "note"));
      const next = byId("next");
      const last = place + 1 === round.texts.length;
      next.textContent = last ? "Play again" : "Next text";
      next.hidden = false;
      next.focus();
      score();
    }

    function score() {
      const chance = tally.played / round.levels.length;
      const rows = [["you", tally.you], ["chance", chance], ...[...tally.others].sort((a, b) => b[1] - a[1])];
      const head = make("tr");
      head.append(...["who", "right", "of"].map((name) => { const th = make("th", name); th.scope = "col"; return th; }));
      const thead = make("thead");
      thead.append(head);
      const tbody = make("tbody");
      for (const [who, right] of rows) {
        const line = make("tr");
        const name = make("th", who);
        name.scope = "row";
        const cells = [make("td", String(Math.round(10 * right) / 10)), make("td", String(tally.played))];
        ["right", "of"].forEach((label, i) => { cells[i].dataset.label = label; });
        line.append(name, ...cells);
        tbody.append(line);
      }
      byId("scores").replaceChildren(thead, tbody);
    }

    function next() {
      if (place + 1 === round.texts.length) { start(round.id); byId("choices").firstChild.focus(); return; }
      place += 1;
      show();
      byId("choices").firstChild.focus();
    }

    byId("next").addEventListener("click", next);
    choose.addEventListener("change", () => { history.replaceState(null, "", `#${choose.value}`); start(choose.value); });
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("select, input, summary")) return;
      const level = /^[1-9]$/.test(event.key) ? round.levels[Number(event.key) - 1] : undefined;
      if (level !== undefined) guess(level);
    });
    window.addEventListener("hashchange", () => start(location.hash.slice(1)));
    start(location.hash.slice(1));
  }

  // Two results side by side, from the address: compare.html#a,b
  const sides = data("sides-data");
  const page = document.getElementById("compare");
  if (page && sides?.length) {
    page.hidden = false;
    const [a, b] = page.querySelectorAll("select");
    const find = (id) => sides.find((side) => side.id === id);
    function take() {
      const [first, second] = location.hash.slice(1).split(",").map(decodeURIComponent);
      if (find(first)) a.value = first;
      if (find(second)) b.value = second;
      show();
    }
    const shown = (found) => (found ? `${found.value.toFixed(2)}${found.low === null ? " (no interval)" : ` (${found.low.toFixed(2)} to ${found.high.toFixed(2)})`}` : "–");
    function show() {
      const chosen = [find(a.value), find(b.value)];
      document.getElementById("sides").replaceChildren(...chosen.map((side) => {
        const one = make("article", "", "text");
        const title = make("h2");
        const link = make("a", side.question);
        link.href = side.path;
        title.append(link);
        one.append(title, make("p", side.finding), make("p", `${side.scope}.`, "note"));
        return one;
      }));
      const names = [...new Set(chosen.flatMap((side) => side.rows.map((row) => `${row.split}\n${row.attributor}`)))];
      const tbody = make("tbody");
      for (const name of names) {
        const [split, attributor] = name.split("\n");
        const found = chosen.map((side) => side.rows.find((row) => row.split === split && row.attributor === attributor));
        const line = make("tr");
        const head = make("th", attributor);
        head.scope = "row";
        const difference = found[0] && found[1] ? (found[1].value - found[0].value).toFixed(2) : "–";
        const cells = [split, shown(found[0]), shown(found[1]), difference];
        line.append(head, ...cells.map((text, i) => { const td = make("td", text); td.dataset.label = ["test texts", "first", "second", "difference"][i]; return td; }));
        tbody.append(line);
      }
      const head = make("tr");
      head.append(...["attributor", "test texts", "first", "second", "second minus first"].map((name) => { const th = make("th", name); th.scope = "col"; return th; }));
      const thead = make("thead");
      thead.append(head);
      document.getElementById("both").replaceChildren(thead, tbody);
    }
    for (const select of [a, b]) {
      select.addEventListener("change", () => { history.replaceState(null, "", `#${a.value},${b.value}`); show(); });
    }
    window.addEventListener("hashchange", take);
    take();
  }
})();
