"use strict";
// Line charts as SVG. Text goes in as text nodes only, so that no name of a dataset or method is ever markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}
const element = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
const shape = (name, attributes = {}, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

function niceTicks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((s) => s * power >= rough);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) ticks.push(+(i * step).toPrecision(12));
  return ticks;
}

// Marks as paths about (0, 0), in the order of looks.py: they tell lines apart where colours do not.
const MARKS = [
  "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0", "M-2.7-2.7h5.4v5.4h-5.4z", "M0-3.8L3.8 0L0 3.8L-3.8 0z", "M0-3.6L3.4 2.6H-3.4z",
  "M0 3.6L3.4-2.6H-3.4z", "M-1.3-3.4h2.6v2.1h2.1v2.6h-2.1v2.1h-2.6v-2.1h-2.1v-2.6h2.1z",
  "M0-4.2L1-1.3L4-1.3L1.6.6L2.5 3.5L0 1.7L-2.5 3.5L-1.6.6L-4-1.3L-1-1.3z", "M-3.6 0L2.6-3.4V3.4z",
  "M-2.2-3.4L0-1.2L2.2-3.4L3.4-2.2L1.2 0L3.4 2.2L2.2 3.4L0 1.2L-2.2 3.4L-3.4 2.2L-1.2 0L-3.4-2.2z",
  "M0-3.6L3.2-1.8V1.8L0 3.6L-3.2 1.8V-1.8z",
];

// A method's look, [colour, mark, line]: -1 for grey, and for no mark.
function look([colour, mark, line]) {
  return { colour: colour < 0 ? "flat" : `s${colour}`, line: `line d${line}`, mark: mark < 0 ? null : MARKS[mark] };
}

const topOf = (node, above) => node.getBoundingClientRect().top - above.getBoundingClientRect().top;

// The figure of a chart or a matrix, which has follow, leave, step and draw: what one sees, hovers over and hears.
function frame(owner, caption, text) {
  owner.area = shape("svg", { role: "img", tabindex: 0, "aria-label": text });
  owner.tip = element("div", { class: "tip", hidden: "" });
  owner.spoken = element("p", { class: "spoken", "aria-live": "polite" });
  owner.figure = element("figure", { class: "chart" }, caption, owner.area, owner.tip, owner.spoken);
  owner.area.addEventListener("pointermove", (event) => owner.follow(event));
  owner.area.addEventListener("pointerdown", (event) => owner.follow(event));
  owner.area.addEventListener("pointerleave", () => owner.leave());
  owner.area.addEventListener("blur", () => owner.leave());
  owner.area.addEventListener("keydown", (event) => owner.step(event));
  new ResizeObserver(() => owner.draw()).observe(owner.figure);
}

// spec: title, about, x {label, ticks, log}, y {label, percent, digits}, marks, series [{name, look, x, y, sd, flat}].
// A flat line is one number for the whole axis.
class Chart {
  constructor(spec) {
    this.spec = spec;
    this.hidden = new Set();
    this.places = [...new Set(spec.series.flatMap((s) => (s.flat ? [] : s.x)))].sort((a, b) => a - b);
    this.title = element("figcaption", {}, element("b", {}, spec.title), spec.about ? ` ${spec.about}` : "");
    const text = `Line chart: ${spec.title}. ${spec.y.label} against ${spec.x.label}. Arrow keys read the values.`;
    frame(this, this.title, text);
  }

  get shown() {
    return this.spec.series.filter((s) => !this.hidden.has(s.name));
  }

  draw() {
    const width = this.figure.clientWidth, series = this.shown, { x, y } = this.spec;
    if (!width) return;
    const height = Math.round(Math.min(320, Math.max(190, width * 0.62)));
    this.box = { left: 38, right: width - 10, top: 20, bottom: height - 36 };
    const warp = (this.warp = x.log ? Math.log2 : (v) => v);
    const ends = [...this.places, ...(x.ticks || [])].map(warp);
    const [x0, x1] = [Math.min(...ends), Math.max(...ends)];
    const values = series.flatMap((s) => s.y.flatMap((v, i) => (v === null ? [] : [v - (s.sd?.[i] || 0), v + (s.sd?.[i] || 0)])));
    let [low, high] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
    const pad = (high - low || Math.abs(high) * 0.05 || 1) * 0.06;
    [low, high] = [low - pad, high + pad];
    if (y.percent) [low, high] = [Math.max(0, low), Math.min(100, high)];
    const { left, right, top, bottom } = this.box;
    this.px = (v) => (x1 > x0 ? left + 6 + ((warp(v) - x0) / (x1 - x0)) * (right - left - 12) : (left + right) / 2);
    this.py = (v) => bottom - ((v - low) / (high - low || 1)) * (bottom - top);
    this.area.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.area.replaceChildren(shape("text", { x: 0, y: 9 }, y.label));
    for (const tick of niceTicks(low, high, 5)) {
      this.area.append(
        shape("line", { class: "grid", x1: left, x2: right, y1: this.py(tick), y2: this.py(tick) }),
        shape("text", { x: left - 6, y: this.py(tick) + 4, "text-anchor": "end" }, String(tick)),
      );
    }
    this.area.append(shape("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }));
    let last = -Infinity;
    for (const tick of x.ticks || niceTicks(x0, x1, Math.max(3, Math.min(8, Math.floor(width / 70))))) {
      const at = this.px(tick), half = String(tick).length * 3.2 + 3;
      if (at - half < last) continue;
      last = at + half;
      this.area.append(shape("text", { x: at, y: bottom + 15, "text-anchor": "middle" }, String(tick)));
    }
    this.area.append(shape("text", { x: right, y: bottom + 31, "text-anchor": "end" }, x.label));
    const quiet = series.length > 5 ? " quietband" : "";
    this.groups = new Map(series.map((s) => [s.name, this.line(s, quiet)]));
    this.area.append(...this.groups.values());
    this.cursor = shape("line", { class: "cursor", y1: top, y2: bottom, visibility: "hidden" });
    this.area.append(this.cursor);
    this.light(this.lit || "");
  }

  line(s, quiet) {
    const style = look(s.look);
    const group = shape("g", { class: `series ${style.colour}${quiet}` });
    const points = s.x.map((v, i) => [this.px(v), s.y[i], s.sd?.[i] ?? 0]).filter((p) => p[1] !== null);
    const path = (list) => list.map(([a, b], i) => `${i ? "L" : "M"}${a.toFixed(1)} ${b.toFixed(1)}`).join("");
    if (points.some((p) => p[2])) {
      const edge = (sign) => points.map(([a, b, d]) => [a, Math.min(this.box.bottom, Math.max(this.box.top, this.py(b + sign * d)))]);
      group.append(shape("path", { class: "band", d: `${path(edge(1))}${path(edge(-1).reverse()).replace("M", "L")}Z` }));
    }
    group.append(shape("path", { class: style.line, d: path(points.map(([a, b]) => [a, this.py(b)])) }));
    if (style.mark && !s.flat && this.spec.marks !== false) {
      for (const [a, b] of points) group.append(shape("path", { class: "mark", d: style.mark, transform: `translate(${a.toFixed(1)} ${this.py(b).toFixed(1)})` }));
    }
    return group;
  }

  light(name) {
    this.lit = name;
    for (const [other, group] of this.groups || []) {
      group.classList.toggle("dim", Boolean(name) && this.groups.has(name) && other !== name);
      group.classList.toggle("lit", other === name);
    }
  }

  // The values at one place of the axis, largest first.
  at(place) {
    const found = this.shown.map((s) => {
      const i = s.x.indexOf(place);
      return s.flat ? { s, y: s.y[0], sd: s.sd?.[0] } : { s, y: i < 0 ? null : s.y[i], sd: s.sd?.[i] };
    });
    return found.filter((f) => f.y !== null && f.y !== undefined).sort((a, b) => b.y - a.y);
  }

  show(place, nearY) {
    if (!this.groups) return;
    this.place = place;
    const found = this.at(place), digits = this.spec.y.digits ?? 2, px = this.px(place);
    const gap = (f) => Math.abs(this.py(f.y) - nearY);
    const near = nearY === undefined ? null : found.reduce((best, f) => (best && gap(best) <= gap(f) ? best : f), null);
    this.cursor.setAttribute("x1", px);
    this.cursor.setAttribute("x2", px);
    this.cursor.setAttribute("visibility", "visible");
    this.light(near ? near.s.name : "");
    const text = (f) => f.y.toFixed(digits) + (f.sd ? ` ± ${f.sd.toFixed(digits)}` : "");
    const rows = found.map((f) => {
      const name = element("span", {}, element("i", { class: look(f.s.look).colour }), f.s.name);
      return element("div", f === near ? { class: "near" } : {}, name, element("span", {}, text(f)));
    });
    this.tip.replaceChildren(element("div", {}, element("b", {}, `${this.spec.x.label}: ${place}`)), ...rows);
    this.tip.hidden = false;
    const scale = this.area.clientWidth / this.area.viewBox.baseVal.width || 1;
    const room = this.figure.clientWidth, wide = this.tip.offsetWidth, right = px * scale + 12;
    this.tip.style.left = `${Math.max(0, right + wide <= room ? right : Math.min(px * scale - 12 - wide, room - wide))}px`;
    this.tip.style.top = `${topOf(this.area, this.figure) + this.box.top}px`;
    return `${this.spec.x.label} ${place}: ${found.map((f) => `${f.s.name} ${text(f)}`).join(", ")}`;
  }

  follow(event) {
    if (!this.groups || !this.places.length) return;
    const frame = this.area.getBoundingClientRect(), scale = this.area.viewBox.baseVal.width / frame.width;
    const x = (event.clientX - frame.left) * scale, y = (event.clientY - frame.top) * scale;
    const gap = (v) => Math.abs(this.px(v) - x);
    this.show(this.places.reduce((best, v) => (gap(v) < gap(best) ? v : best)), y);
  }

  step(event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1 };
    if (event.key === "Escape") this.leave();
    if (!(event.key in moves)) return;
    event.preventDefault();
    const here = this.places.indexOf(this.place);
    const next = here < 0 ? 0 : Math.min(this.places.length - 1, Math.max(0, here + moves[event.key]));
    this.spoken.textContent = this.show(this.places[next]);
  }

  leave() {
    this.tip.hidden = true;
    this.place = undefined;
    this.cursor?.setAttribute("visibility", "hidden");
    this.light("");
  }
}

// Buttons that take lines away and bring them back, in all charts of a group; pointing at one brings its lines forward.
function legend(names, looks, charts) {
  const list = element("ul", { class: "legend", "aria-label": "Lines" });
  for (const name of names) {
    const style = look(looks.get(name));
    const sample = shape("svg", { viewBox: "0 0 26 12", "aria-hidden": "true", class: style.colour },
      shape("path", { class: style.line, d: "M1 6H25" }),
      ...(style.mark ? [shape("path", { class: "mark", d: style.mark, transform: "translate(13 6)" })] : []));
    const button = element("button", { type: "button", "aria-pressed": "true" }, sample, name);
    button.addEventListener("click", () => {
      const off = button.getAttribute("aria-pressed") === "true";
      button.setAttribute("aria-pressed", String(!off));
      for (const chart of charts) {
        if (off) chart.hidden.add(name); else chart.hidden.delete(name);
        chart.draw();
      }
    });
    for (const [kind, lit] of [["pointerenter", name], ["focus", name], ["pointerleave", ""], ["blur", ""]]) {
      button.addEventListener(kind, () => charts.forEach((chart) => chart.light(lit)));
    }
    list.append(element("li", {}, button));
  }
  return list;
}
