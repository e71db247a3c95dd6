// Tables that sort, and the list of runs behind a number.

const value = (cell) => (cell.dataset.v !== undefined ? cell.dataset.v : cell.textContent.trim());

// Missing values ("-" or nothing) stand last, whichever way a column is sorted; equal ones keep their order.
function sortTable(table, column, direction) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const numeric = heads[column].classList.contains("n");
  const keyed = [...body.rows].map((row) => {
    const text = value(row.cells[column]);
    const missing = text === "" || text === "-" || (numeric && Number.isNaN(parseFloat(text)));
    return { row, missing, key: numeric ? parseFloat(text) : text };
  });
  const compare = (a, b) => (numeric ? a - b : a.localeCompare(b, "en", { numeric: true }));
  keyed.sort((a, b) => a.missing - b.missing || (a.missing ? 0 : direction * compare(a.key, b.key)));
  body.append(...keyed.map((k) => k.row));
  heads.forEach((head, i) => head.setAttribute("aria-sort", i !== column ? "none" : direction > 0 ? "ascending" : "descending"));
  table.classList.add("sorted");
}

function sortable(table) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const first = head.classList.contains("n") ? "descending" : "ascending"; // numbers: the best on top
      const now = head.getAttribute("aria-sort");
      const next = now === "none" ? first : now === "ascending" ? "descending" : "ascending";
      sortTable(table, column, next === "ascending" ? 1 : -1);
    });
  });
}

const SHOWN = ["method", "dataset", "setting", "seed", "accuracy", "adversarial", "environment", "git", "finished", "files"];

// The cell's link goes to the first of its runs in the table of all results; with scripts, all of them come here.
function showRuns(link) {
  const dialog = document.getElementById("runs");
  const rows = link.dataset.r.split(" ").map((number) => document.getElementById(`r${number}`));
  const heads = [...rows[0].closest("table").tHead.rows[0].cells];
  const columns = SHOWN.map((key) => heads.findIndex((head) => head.dataset.k === key)).filter((i) => i >= 0)
    .filter((i) => rows.some((row) => row.cells[i].textContent.trim() !== "-"));
  const copy = (cell) => {
    const made = cell.cloneNode(true);
    made.className = cell.className;
    made.removeAttribute("id");
    return made;
  };
  const head = element("tr", {}, ...columns.map((i) => {
    const made = element("th", { scope: "col" }, element("b", {}, heads[i].textContent.trim()));
    made.className = heads[i].className;
    return made;
  }));
  const body = rows.map((row) => element("tr", {}, ...columns.map((i) => copy(row.cells[i]))));
  dialog.querySelector("h2").textContent = `${link.getAttribute("title")}: ${rows.length} ${rows.length === 1 ? "run" : "runs"}`;
  dialog.querySelector(".scroll").replaceChildren(element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
  dialog.showModal();
}
