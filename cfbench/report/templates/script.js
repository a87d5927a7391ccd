"use strict";
(() => {
  const root = document.documentElement;
  const find = (selector, within = document) => [...within.querySelectorAll(selector)];
  root.classList.add("js");

  // explanations: shown for the element under the pointer, with the focus, or that was tapped
  const tip = document.getElementById("tip");
  let owner = null;
  const hide = () => {
    tip.hidden = true;
    owner?.removeAttribute("aria-describedby");
    owner = null;
  };
  const show = (element) => {
    hide();
    owner = element;
    owner.setAttribute("aria-describedby", "tip");
    tip.textContent = element.dataset.tip;
    tip.hidden = false;
    const box = element.getBoundingClientRect();
    const width = root.clientWidth;
    const left = Math.max(8, Math.min(box.left, width - tip.offsetWidth - 8));
    const below = box.bottom + tip.offsetHeight + 8 < innerHeight;
    const top = below ? box.bottom + 6 : box.top - tip.offsetHeight - 6;
    tip.style.left = `${left + scrollX}px`;
    tip.style.top = `${Math.max(0, top + scrollY)}px`;
  };
  const explain = (element, text) => {
    if (!text) return;
    element.dataset.tip = text;
    for (const event of ["pointerenter", "focus", "click"]) element.addEventListener(event, () => show(element));
    for (const event of ["pointerleave", "blur"]) element.addEventListener(event, hide);
  };
  for (const element of find("[title]")) {
    const text = element.title;
    if (element.matches("#board thead th")) continue; // its button gets the explanation
    element.removeAttribute("title");
    explain(element, text);
  }
  addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  addEventListener("scroll", () => { if (owner && !owner.matches(":focus, :hover")) hide(); }, { passive: true });

  // the record of a model opens when a link leads to it
  const open = () => {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (target instanceof HTMLDetailsElement) target.open = true;
  };
  addEventListener("hashchange", open);
  open();

  const board = document.getElementById("board");
  if (!board) return;
  const body = board.tBodies[0];
  const rows = [...body.rows];

  // the order of the rows: unknown values come last
  const compare = (kind, sign) => (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    return sign * (kind === "number" ? a - b : a.localeCompare(b));
  };
  const sort = (head) => {
    const sign = head.ariaSort === "ascending" ? -1 : 1;
    for (const other of find("[aria-sort]", board.tHead)) other.removeAttribute("aria-sort");
    head.ariaSort = sign === 1 ? "ascending" : "descending";
    const order = compare(head.dataset.sort, sign);
    const value = (row) => row.cells[head.cellIndex].dataset.order;
    body.append(...rows.sort((a, b) => order(value(a), value(b))));
  };
  for (const head of find("th[data-sort]", board.tHead)) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    const text = head.title;
    head.removeAttribute("title");
    explain(button, text);
    head.replaceChildren(button);
    button.addEventListener("click", () => sort(head));
  }
  board.querySelector("th[data-sort]").ariaSort = "ascending";

  // the filter: every word must be in the row
  const filter = document.getElementById("filter");
  const shown = document.getElementById("shown");
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const apply = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !words.every((word) => texts.get(row).includes(word));
    const left = rows.filter((row) => !row.hidden).length;
    shown.textContent = `${left} of ${rows.length} models`;
  };
  filter.addEventListener("input", apply);
  apply();

  const extras = document.getElementById("extras");
  const choose = () => root.classList.toggle("all-columns", extras.checked);
  extras.addEventListener("change", choose);
  choose();
})();
