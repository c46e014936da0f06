"use strict";
// Tables whose rows can be sorted, by a click on the head of a column.

function cellValue(row, column) {
  const text = (row.cells[column]?.textContent ?? "").trim();
  const number = Number.parseFloat(text.replaceAll(",", ""));
  return { text, number: /^[+-]?[\d.]/.test(text) ? number : Number.NaN };
}

// Numbers before text, and what is empty or undefined last, in either direction.
function compareCells(one, other, sign) {
  const blank = (cell) => cell.text === "" || cell.text === "\u2013";
  if (blank(one) !== blank(other)) return blank(one) ? 1 : -1;
  const numbers = [one, other].map((cell) => !Number.isNaN(cell.number));
  if (numbers[0] !== numbers[1]) return numbers[0] ? -1 : 1;
  if (numbers[0]) return sign * (one.number - other.number);
  return sign * one.text.localeCompare(other.text, "en", { numeric: true });
}

function sortTable(table, column) {
  const head = table.tHead.rows[0].cells[column];
  const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows].map((row) => ({ row, value: cellValue(row, column) }));
  rows.sort((one, other) => compareCells(one.value, other.value, sign));
  table.tBodies[0].append(...rows.map(({ row }) => row));
}

function makeSortable(table) {
  if (!table.tHead || table.tBodies[0].rows.length < 2) return;
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    if (!cell.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...cell.childNodes);
    button.addEventListener("click", () => sortTable(table, column));
    cell.append(button);
  });
}

document.querySelectorAll("table").forEach(makeSortable);
