"use strict";
// Sorting by a click on a column's head, and showing only systems whose name holds what is typed.
function key(row, column) {
  const cell = row.cells[column];
  return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
}
function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "number") return -1;
  if (typeof b === "number") return 1;
  return a.localeCompare(b);
}
function sortBy(head) {
  const table = head.closest("table");
  const opposite = { ascending: "descending", descending: "ascending" };
  const way = opposite[head.getAttribute("aria-sort")] || head.dataset.first;
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", way);
  const sign = way === "descending" ? -1 : 1;
  const rows = [...table.tBodies[0].rows];
  const missing = (one) => one === "–";
  rows.sort((a, b) => {
    const [one, other] = [key(a, head.cellIndex), key(b, head.cellIndex)];
    if (missing(one) || missing(other)) return missing(one) - missing(other);  // last, whichever way
    return sign * compare(one, other);
  });
  table.tBodies[0].append(...rows);
}
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => sortBy(button.closest("th")));
}
const filter = document.getElementById("filter");
filter.addEventListener("input", () => {
  const wanted = filter.value.toLowerCase();
  let shown = 0;
  for (const row of document.querySelectorAll("tbody tr[data-system]")) {
    row.hidden = !row.dataset.system.toLowerCase().includes(wanted);
    shown += !row.hidden && row.closest("table").dataset.name === "board" ? 1 : 0;
  }
  document.getElementById("shown").textContent = wanted ? `${shown} lines` : "";
});
