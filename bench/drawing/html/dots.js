// One row a method with a dot for its number, or three marks for base, new and their harmonic mean, on an axis that all
// panels share.

const UP = "M0-3.8L3.6 2.8H-3.6z", DOWN = "M0 3.8L3.6-2.8H-3.6z", DOT = "M-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0-6.4 0";

// spec: title, dataset, parts (names of the numbers), range [low, high], series [[method, number, ...]], each of these
// [mean, spread or null], or null.
class Dots {
  constructor(spec) {
    const series = spec.series.map(([m, ...values]) => ({ name: data.methods[m][0], look: data.methods[m][1], values }));
    this.spec = { ...spec, series };
    this.hidden = new Set();
    this.marks = spec.parts.length > 1 ? [UP, DOWN, DOT] : [DOT];
    const caption = element("figcaption", {}, element("b", {}, spec.title));
    frame(this, caption, `Chart of ${spec.parts.join(", ")}: ${spec.title}. Arrow keys read the values.`);
  }

  get shown() {
    return this.spec.series.filter((s) => !this.hidden.has(s.name));
  }

  draw() {
    const width = this.figure.clientWidth, series = this.shown, [low, high] = this.spec.range;
    if (!width) return;
    const longest = Math.max(0, ...this.spec.series.map((s) => s.name.length));
    const left = Math.min(width * 0.42, 8 + longest * 6.2), right = width - 10, bottom = 8 + 19 * series.length;
    this.px = (v) => left + ((v - low) / (high - low || 1)) * (right - left);
    this.area.setAttribute("viewBox", `0 0 ${width} ${bottom + 36}`);
    this.area.replaceChildren();
    for (const tick of niceTicks(low, high, Math.max(2, Math.floor((right - left) / 60)))) {
      const at = this.px(tick);
      this.area.append(
        shape("line", { class: "grid", x1: at, x2: at, y1: 2, y2: bottom }),
        shape("text", { x: at, y: bottom + 15, "text-anchor": "middle" }, String(tick)),
      );
    }
    this.area.append(shape("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }));
    this.area.append(shape("text", { x: right, y: bottom + 31, "text-anchor": "end" }, "accuracy, %"));
    this.groups = new Map(series.map((s, i) => [s.name, this.row(s, 16 + 19 * i, left)]));
    this.area.append(...this.groups.values());
    this.light(this.lit || "");
  }

  row({ name, look: own, values }, y, left) {
    const fits = Math.floor((left - 8) / 6), text = name.length > fits ? `${name.slice(0, fits - 1)}…` : name;
    const group = shape("g", { class: `series ${look(own).colour}` });
    group.append(shape("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, text));
    const [first, second] = values;
    if (first && second) group.append(shape("line", { class: "between", x1: this.px(first[0]), x2: this.px(second[0]), y1: y, y2: y }));
    for (const [i, value] of values.entries()) {
      if (!value) continue;
      const mark = this.marks[i], [mean, sd] = value, mid = i > 0 && mark === DOT, at = this.px(mean);
      if (sd && !mid) group.append(shape("line", { class: "spread", x1: this.px(mean - sd), x2: this.px(mean + sd), y1: y, y2: y }));
      group.append(shape("path", { class: mid ? "mark mean" : "mark", d: mark, transform: `translate(${at.toFixed(1)} ${y})` }));
    }
    return group;
  }

  light(name) {
    this.lit = name;
    for (const [other, group] of this.groups || []) group.classList.toggle("dim", Boolean(name) && this.groups.has(name) && other !== name);
  }

  show(number) {
    const s = this.shown[number], text = (v) => (v ? v[0].toFixed(2) + (v[1] ? ` ± ${v[1].toFixed(2)}` : "") : "-");
    if (!s) return "";
    this.place = number;
    this.light(s.name);
    const told = this.spec.parts.map((what, i) => [what, text(s.values[i])]);
    const rows = told.map(([what, value]) => element("div", {}, element("span", {}, what), element("span", {}, value)));
    this.tip.replaceChildren(element("div", {}, element("b", {}, s.name)), ...rows);
    this.tip.hidden = false;
    const scale = this.area.clientWidth / this.area.viewBox.baseVal.width || 1;
    this.tip.style.left = `${Math.max(0, this.figure.clientWidth - this.tip.offsetWidth)}px`;
    this.tip.style.top = `${topOf(this.area, this.figure) + (28 + 19 * number) * scale}px`;
    return `${s.name}: ${told.map((pair) => pair.join(" ")).join(", ")}`;
  }

  follow(event) {
    const box = this.area.getBoundingClientRect(), scale = this.area.viewBox.baseVal.width / box.width;
    const number = Math.round(((event.clientY - box.top) * scale - 16) / 19);
    if (number >= 0 && number < this.shown.length) this.show(number);
  }

  step(event) {
    const moves = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1 };
    if (event.key === "Escape") this.leave();
    if (!(event.key in moves) || !this.shown.length) return;
    event.preventDefault();
    const next = this.place === undefined ? 0 : this.place + moves[event.key];
    this.spoken.textContent = this.show(Math.min(this.shown.length - 1, Math.max(0, next)));
  }

  leave() {
    this.tip.hidden = true;
    this.place = undefined;
    this.light("");
  }
}
