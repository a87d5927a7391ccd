"use strict";
(() => {
  const PAUSE = 2000; // milliseconds between two questions to the server
  const KEY = "what the reader of the page has chosen";
  const stamp = document.querySelector("meta[name=cfbench-stamp]").content;
  const find = (selector) => [...document.querySelectorAll(selector)];
  const label = (element) => (element.querySelector("b") ?? element).textContent;

  // the news of the server: the runs under way, and the stamp of its newest page
  const news = document.getElementById("news");
  const table = document.querySelector("#under-way table");
  const say = (text) => { if (news.textContent !== text) news.textContent = text; };
  const cell = (text, index) => {
    const element = document.createElement(index ? "td" : "th");
    if (!index) element.scope = "row";
    if (index === 2) element.className = "number";
    element.textContent = text;
    return element;
  };
  let lastNews = null;
  const show = (answer) => {
    lastNews = answer;
    const lines = answer.runs.map((run) => {
      const line = document.createElement("tr");
      line.append(...run.map(cell));
      return line;
    });
    table.tBodies[0].replaceChildren(...lines);
    table.hidden = lines.length === 0;
    say(answer.problem || (lines.length ? "" : "No run is under way. A run that ends appears below by itself."));
  };
  // what the reader has chosen, in words that hold for the next page too
  const name = (element) => `${element.tagName} ${element.id || element.ariaLabel || label(element)}`;
  const opened = () => find("details[open] > summary").map(label);
  const places = () => find("section, details.record").map((element) =>
    [element.tagName === "SECTION" ? element.id : label(element.querySelector("summary")), element]);
  const filter = document.getElementById("filter");
  const extras = document.getElementById("extras");
  const save = () => {
    const above = places().filter(([, element]) => element.getBoundingClientRect().top <= 80).at(-1);
    const sorted = document.querySelector("th[aria-sort]");
    const focus = document.activeElement;
    const chosen = {
      news: lastNews,
      top: scrollY,
      place: above && [above[0], above[1].getBoundingClientRect().top],
      opened: opened(),
      filter: filter?.value,
      extras: extras?.checked,
      sorted: sorted && [sorted.textContent, sorted.ariaSort],
      focus: focus === document.body ? null : name(focus),
      caret: focus === filter && filter ? [filter.selectionStart, filter.selectionEnd] : null,
    };
    sessionStorage.setItem(KEY, JSON.stringify(chosen));
  };
  const restore = (chosen) => {
    if (chosen.news) show(chosen.news);
    if (filter) {
      filter.value = chosen.filter ?? "";
      filter.dispatchEvent(new Event("input"));
    }
    if (extras && extras.checked !== chosen.extras) extras.click();
    const head = chosen.sorted && find("th[data-sort]").find((each) => each.textContent === chosen.sorted[0]);
    for (let clicks = 0; head && head.ariaSort !== chosen.sorted[1] && clicks < 2; clicks += 1) {
      head.querySelector("button").click();
    }
    for (const summary of find("details > summary")) summary.parentElement.open = chosen.opened.includes(label(summary));
    const focused = chosen.focus && find("a, button, input, summary, [tabindex]").find((each) => name(each) === chosen.focus);
    focused?.focus({ preventScroll: true });
    if (chosen.caret && focused === filter) filter.setSelectionRange(...chosen.caret);
    const place = chosen.place && places().find(([text]) => text === chosen.place[0]);
    const top = place ? scrollY + place[1].getBoundingClientRect().top - chosen.place[1] : chosen.top;
    scrollTo({ top, behavior: "instant" });
  };
  // a new page replaces this one, unless a text is marked, perhaps to be copied
  const load = () => {
    history.scrollRestoration = "manual";
    history.replaceState(null, "", location.pathname); // places have other anchors in the next page
    location.reload();
  };
  let last = new Date();
  const ask = async () => {
    try {
      const answer = await (await fetch("news", { cache: "no-store" })).json();
      last = new Date();
      show(answer);
      if (answer.stamp !== stamp && getSelection().isCollapsed) return load();
    } catch {
      table.hidden = true;
      say(`cfbench serve has not answered since ${last.toLocaleTimeString()}: the page shows the results of that time.`);
    }
    setTimeout(next, PAUSE);
  };
  const next = () => (document.hidden ? setTimeout(next, PAUSE) : ask());
  const kept = sessionStorage.getItem(KEY);
  sessionStorage.removeItem(KEY);
  if (kept) restore(JSON.parse(kept));
  addEventListener("pagehide", save);
  ask();
})();
