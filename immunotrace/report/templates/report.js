"use strict";
(() => {
  // Tables sort by a click on a heading: by number where a cell has one, else by its text.
  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.key === undefined ? cell.textContent.trim() : Number(cell.dataset.key);
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a === "number") return -1; // cells without a number come last
    if (typeof b === "number") return 1;
    return a.localeCompare(b, "en", { numeric: true });
  };
  for (const table of document.querySelectorAll("table")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const body = table.tBodies[0];
        const rows = [...body.rows].sort((a, b) => compare(key(a, column), key(b, column)));
        body.append(...(down ? rows.reverse() : rows));
      });
    });
  }
  for (const box of document.querySelectorAll(".filter")) {
    const input = box.querySelector("input");
    const rows = [...box.parentElement.querySelector("tbody").rows];
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        if (!row.hidden) shown += 1;
      }
      box.querySelector("span").textContent = words.length ? `${shown} of ${rows.length} rows` : "";
    });
  }
  // Figures enlarge in a dialog, which Escape closes.
  const dialog = document.getElementById("enlarged");
  const place = dialog.querySelector("div");
  for (const button of document.querySelectorAll(".enlarge")) {
    button.addEventListener("click", () => {
      place.replaceChildren(button.querySelector("img").cloneNode());
      dialog.showModal();
    });
  }
  dialog.querySelector("button").addEventListener("click", () => dialog.close());
  // On a small screen the contents begin closed.
  if (window.matchMedia("(max-width: 60rem)").matches) {
    document.querySelector("nav details").open = false;
  }
})();
