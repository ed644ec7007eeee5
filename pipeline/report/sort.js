"use strict";
// Makes tables sortable by their headings: up, down, then back to the order in which they were written.
// The report's page and the documentation's site use it.
(() => {
  const root = document.documentElement;
  const collator = new Intl.Collator("en", { numeric: true });

  const key = (row, place) => {
    const cell = row.cells[place];
    const value = cell.dataset.value;
    if (value === undefined) return cell.textContent.trim();
    return value === "" ? null : Number(value);
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b));

  const sort = (table, place, order, original) => {
    const sign = order === "descending" ? -1 : 1;
    const rows = [...original];
    if (order !== "none") {
      rows.sort((first, second) => {
        const a = key(first, place);
        const b = key(second, place);
        // what has no number stays at the end in both directions
        if (a === null || b === null) return (a === null) - (b === null);
        return sign * compare(a, b);
      });
    }
    table.tBodies[0].append(...rows);
    table.toggleAttribute("data-sorted", order !== "none");
  };

  const next = { none: "ascending", ascending: "descending", descending: "none" };
  for (const table of document.querySelectorAll("table.sortable, .sortable > table")) {
    const original = [...table.tBodies[0].rows];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const order = next[head.getAttribute("aria-sort")];
        for (const other of heads) other.setAttribute("aria-sort", "none");
        head.setAttribute("aria-sort", order);
        sort(table, place, order, original);
      });
    });
  }

  const measure = () => {
    // the second column sticks beside the first, whose width depends on the names in it
    for (const table of document.querySelectorAll("table.sticky")) {
      const first = table.tHead.rows[0].cells[0].getBoundingClientRect().width;
      table.style.setProperty("--first", `${Math.floor(first)}px`);
    }
    root.dataset.overflow = String(Math.max(0, root.scrollWidth - root.clientWidth));
    root.dataset.width = String(root.clientWidth);
  };
  measure();
  addEventListener("resize", measure);
  root.dataset.ready = "true";
})();
