// The page: charts into their places, one filter for everything, light and dark.

const data = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);
const looks = new Map(data.methods);
const groups = []; // {place, items: [{spec, figure, chart}]}

function lines(spec) {
  const series = spec.series.map(([m, x, y, sd, flat]) => ({ name: data.methods[m][0], look: data.methods[m][1], x, y, sd, flat }));
  return { ...spec, series };
}

function drawGroup(place) {
  const charts = data.charts[place.dataset.charts].map((spec) => (spec.parts ? new Dots(spec) : new Chart(lines(spec))));
  const names = [...new Set(charts.flatMap((chart) => chart.spec.series.map((s) => s.name)))];
  const order = data.methods.map(([name]) => name).filter((name) => names.includes(name));
  const grid = element("div", { class: "charts" }, ...charts.map((chart) => chart.figure));
  const key = charts[0].spec.parts?.length > 1 ? [element("p", { class: "note" }, "▲ base, ▼ new, ● harmonic mean; bars: ±")] : [];
  place.append(legend(order, looks, charts), ...key, grid);
  groups.push({ place, charts });
}

// One setting at a time, chosen from a list: training curves, confusion matrices.
function picker(place, label, all, draw) {
  const select = element("select", {});
  const grid = element("div", {});
  place.append(element("label", { class: "pick" }, label, select), grid);
  const redraw = () => {
    const chosen = all.find((one) => one.title === select.value);
    grid.replaceChildren(...(chosen ? draw(chosen, find("method").value) : []));
  };
  const refill = () => {
    const { dataset, method, protocol } = wanted();
    const there = all.filter((one) => (!dataset || one.dataset === dataset) && (!protocol || one.protocol === protocol)
      && (!method || one.methods.some(([m]) => data.methods[m][0] === method)));
    const before = select.value;
    select.replaceChildren(...there.map((one) => element("option", { value: one.title }, one.title)));
    const most = there.reduce((best, one) => (best && best.methods.length >= one.methods.length ? best : one), null);
    if (most) select.value = there.some((one) => one.title === before) ? before : most.title;
    place.closest("section").hidden = !there.length;
    redraw();
  };
  select.addEventListener("change", redraw);
  return refill;
}

const FITTED = [ // of curves.json: [key, what it is called, look]
  ["noisy_kept", "right labels: fitted", [0, -1, 0]], ["noisy_flipped", "wrong labels: fitted", [1, -1, 0]],
  ["true_flipped", "wrong labels: true class found", [2, -1, 0]], ["test", "test set", [6, -1, 0]],
];

function training(setting, method) {
  const own = setting.methods.filter(([m]) => !method || data.methods[m][0] === method);
  const x = { label: "epoch" };
  const loss = own.map(([m, found]) => ({ name: data.methods[m][0], look: data.methods[m][1], x: found.epochs, y: found.loss[0], sd: found.loss[1] }));
  const first = new Chart({ title: "Training loss", about: setting.title, x, y: { label: "loss", digits: 3 }, marks: false, series: loss });
  const names = new Map(loss.map((s) => [s.name, s.look]));
  const made = [legend([...names.keys()], names, [first]), element("div", { class: "charts" }, first.figure)];
  const fitted = own.filter(([, found]) => found.lines).map(([m, found]) => {
    const series = FITTED.filter(([key]) => found.lines[key]).map(([key, name, number]) => ({ name, look: number, x: found.epochs, y: found.lines[key][0], sd: found.lines[key][1] }));
    return new Chart({ title: data.methods[m][0], x, y: { label: "accuracy, %", percent: true, digits: 1 }, marks: false, series });
  });
  if (fitted.length) {
    const there = FITTED.filter(([, name]) => fitted.some((chart) => chart.spec.series.some((s) => s.name === name)));
    const byName = new Map(there.map(([, name, number]) => [name, number]));
    made.push(element("h3", {}, "Memorisation"), legend([...byName.keys()], byName, fitted));
    made.push(element("div", { class: "charts" }, ...fitted.map((chart) => chart.figure)));
  }
  return made;
}

function matrices(setting, method) {
  const own = setting.methods.filter(([m]) => !method || data.methods[m][0] === method);
  const made = own.map(([m, found]) => {
    const spec = { title: data.methods[m][0], about: found.about, names: data.names[found.names], rows: found.rows, top: found.top };
    return spec.rows ? new Matrix(spec).figure : confusions(spec);
  });
  return [element("div", { class: "charts" }, ...made)];
}

function wanted() {
  const text = find("text").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  return { text, protocol: find("protocol").value, dataset: find("dataset").value, method: find("method").value };
}

function filterTable(table, { text, protocol, dataset, method }) {
  const heads = [...table.tHead.rows[0].cells];
  const wide = heads.some((head) => head.dataset.d);
  heads.forEach((head, i) => {
    const off = Boolean(wide && dataset && head.dataset.d && head.dataset.d !== dataset);
    if (head.classList.contains("off") === off) return;
    for (const row of table.rows) row.cells[i].classList.toggle("off", off);
  });
  const none = wide && dataset && !heads.some((head) => head.dataset.d === dataset);
  let shown = 0;
  for (const row of table.tBodies[0].rows) {
    const { m, d, p } = row.dataset;
    const fits = !none && (!method || !m || m === method) && (!dataset || !d || d === dataset) && (!protocol || !p || p === protocol);
    const words = text.length ? row.textContent.toLowerCase() : "";
    row.hidden = !(fits && text.every((word) => words.includes(word)));
    shown += !row.hidden;
  }
  table.closest(".scroll").hidden = !shown;
  return shown;
}

const refills = [];

function filter() {
  const want = wanted();
  for (const { place, charts } of groups) {
    for (const chart of charts) {
      const has = !want.method || chart.spec.series.some((s) => s.name === want.method);
      chart.figure.hidden = Boolean(want.dataset && chart.spec.dataset !== want.dataset) || !has;
    }
    place.hidden = charts.every((chart) => chart.figure.hidden);
    for (const button of place.querySelectorAll(".legend button")) {
      const off = Boolean(want.method && button.textContent !== want.method);
      if ((button.getAttribute("aria-pressed") === "false") !== off) button.click();
    }
  }
  let shown = 0;
  for (const section of document.querySelectorAll("main section")) {
    const other = Boolean(want.protocol && section.dataset.p && section.dataset.p !== want.protocol);
    let rows = 0;
    if (!other) for (const table of section.querySelectorAll(".scroll:not(figure .scroll) > table")) rows += filterTable(table, want);
    const drawn = groups.some(({ place }) => section.contains(place) && !place.hidden);
    if (section.dataset.p) section.hidden = other || !(rows || drawn);
    shown += rows;
  }
  refills.forEach((refill) => refill());
  const asked = Boolean(want.text.length || want.protocol || want.dataset || want.method);
  find("count").value = asked && shown ? `${shown} ${shown === 1 ? "row" : "rows"}` : "";
  find("none").hidden = shown > 0;
  document.querySelectorAll("main section").forEach((section) => section.classList.toggle("off", !shown));
}

function theme() {
  const dark = matchMedia("(prefers-color-scheme: dark)"), button = find("theme"), root = document.documentElement;
  const now = () => root.dataset.theme || (dark.matches ? "dark" : "light");
  const name = () => (button.textContent = now() === "dark" ? "Switch to light" : "Switch to dark");
  button.addEventListener("click", () => {
    root.dataset.theme = now() === "dark" ? "light" : "dark";
    name();
  });
  dark.addEventListener("change", name);
  button.hidden = false;
  name();
}

theme();
document.querySelectorAll("main table").forEach(sortable);
document.querySelectorAll("[data-charts]").forEach(drawGroup);
if (data.training.length) refills.push(picker(find("training-charts"), "Setting", data.training, training));
if (data.matrices.length) refills.push(picker(find("matrix-charts"), "Setting", data.matrices, matrices));
find("filter").hidden = false;
for (const kind of ["input", "change"]) find("filter").addEventListener(kind, filter);
find("filter").addEventListener("submit", (event) => event.preventDefault());
find("filter").addEventListener("reset", () => setTimeout(filter));
find("runs").addEventListener("click", (event) => {
  if (event.target === find("runs") || event.target.closest('a[href^="#"]')) find("runs").close();
});
find("results").addEventListener("click", (event) => {
  const link = event.target.closest("a.cell");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  showRuns(link);
});
filter();
