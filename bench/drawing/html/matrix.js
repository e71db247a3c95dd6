// A confusion matrix: rows are true classes and sum to 1. Counts come sparse: of each row [column, count, ...].

const NAMED = 24, NUMBERED = 10;

class Matrix {
  constructor(spec) {
    this.spec = spec;
    const size = spec.names.length, short = (text) => (text.length > 14 ? `${text.slice(0, 13)}…` : text);
    this.counts = spec.rows.map((row) => {
      const full = new Array(size).fill(0);
      for (let i = 0; i < row.length; i += 2) full[row[i]] = row[i + 1];
      return full;
    });
    this.totals = this.counts.map((row) => row.reduce((a, b) => a + b, 0));
    this.labels = size <= NAMED ? spec.names.map(short) : [];
    const text = `Confusion matrix: ${spec.title}. Rows are true classes. Arrow keys go from cell to cell.`;
    frame(this, element("figcaption", {}, element("b", {}, spec.title), ` ${spec.about}`), text);
  }

  draw() {
    const width = this.figure.clientWidth, size = this.counts.length;
    if (!width) return;
    const longest = Math.max(0, ...this.labels.map((text) => text.length));
    const margin = this.labels.length ? longest * 5.6 + 8 : 10;
    const side = Math.min(width - margin - 16, 340), cell = side / size;
    this.box = { left: margin + 12, top: 4, cell, size };
    const { left, top } = this.box;
    const height = top + side + margin + 16;
    this.area.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.area.replaceChildren(shape("rect", { class: "field", x: left, y: top, width: side, height: side }));
    this.counts.forEach((row, i) => row.forEach((count, j) => {
      if (!count) return;
      const share = count / this.totals[i], [x, y] = [left + j * cell, top + i * cell];
      const gap = size > 60 ? 0 : 0.5;
      this.area.append(shape("rect", { class: "heat", x: x.toFixed(1), y: y.toFixed(1), width: (cell - gap).toFixed(1), height: (cell - gap).toFixed(1), "fill-opacity": (0.08 + 0.92 * share).toFixed(3) }));
      if (size <= NUMBERED && Math.round(100 * share)) {
        this.area.append(shape("text", { class: share > 0.5 ? "on" : "under", x: x + cell / 2, y: y + cell / 2 + 4, "text-anchor": "middle" }, String(Math.round(100 * share))));
      }
    }));
    this.labels.forEach((text, i) => {
      const at = (i + 0.5) * cell;
      this.area.append(
        shape("text", { x: left - 5, y: top + at + 4, "text-anchor": "end" }, text),
        shape("text", { transform: `translate(${left + at + 4} ${top + side + 5}) rotate(-90)`, "text-anchor": "end" }, text),
      );
    });
    this.area.append(
      shape("text", { transform: `translate(8 ${top + side / 2}) rotate(-90)`, "text-anchor": "middle" }, "true"),
      shape("text", { x: left + side / 2, y: height - 1, "text-anchor": "middle" }, "predicted"),
    );
    this.mark = shape("rect", { class: "here", width: cell, height: cell, visibility: "hidden" });
    this.area.append(this.mark);
  }

  show(i, j) {
    this.place = [i, j];
    const { left, top, cell } = this.box, { names } = this.spec, count = this.counts[i][j], total = this.totals[i];
    this.mark.setAttribute("x", left + j * cell);
    this.mark.setAttribute("y", top + i * cell);
    this.mark.setAttribute("visibility", "visible");
    const share = total ? `${((100 * count) / total).toFixed(1)} %` : "-";
    const words = [`true: ${names[i]}`, `predicted: ${names[j]}`, `${count} of ${total} images, ${share}`];
    this.tip.replaceChildren(...words.map((text) => element("div", {}, text)));
    this.tip.hidden = false;
    const scale = this.area.clientWidth / this.area.viewBox.baseVal.width;
    const x = (left + (j + 1) * cell) * scale + 6;
    this.tip.style.left = `${Math.max(0, Math.min(x, this.figure.clientWidth - this.tip.offsetWidth))}px`;
    this.tip.style.top = `${topOf(this.area, this.figure) + (top + (i + 1) * cell) * scale + 6}px`;
    return words.join(", ");
  }

  follow(event) {
    if (!this.box) return;
    const frame = this.area.getBoundingClientRect(), scale = this.area.viewBox.baseVal.width / frame.width;
    const j = Math.floor(((event.clientX - frame.left) * scale - this.box.left) / this.box.cell);
    const i = Math.floor(((event.clientY - frame.top) * scale - this.box.top) / this.box.cell);
    const inside = i >= 0 && j >= 0 && i < this.box.size && j < this.box.size;
    if (inside) this.show(i, j); else this.leave();
  }

  step(event) {
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    if (event.key === "Escape") this.leave();
    if (!(event.key in moves)) return;
    event.preventDefault();
    const [i, j] = this.place ? this.place.map((v, k) => v + moves[event.key][k]) : [0, 0];
    const inside = (v) => Math.min(this.box.size - 1, Math.max(0, v));
    this.spoken.textContent = this.show(inside(i), inside(j));
  }

  leave() {
    this.tip.hidden = true;
    this.place = undefined;
    this.mark?.setAttribute("visibility", "hidden");
  }
}

// Of many classes: the confusions that happen most, as a list.
function confusions(spec) {
  const head = ["True", "Predicted", "Images", "Share"].map((text, i) => element("th", { scope: "col", class: i > 1 ? "n" : "" }, element("b", {}, text)));
  const rows = spec.top.map(([i, j, count, total]) => element("tr", {},
    element("td", {}, spec.names[i]), element("td", {}, spec.names[j]),
    element("td", { class: "n" }, String(count)), element("td", { class: "n" }, `${((100 * count) / total).toFixed(1)} %`)));
  const caption = element("caption", {}, element("b", {}, spec.title), ` ${spec.about}; the most frequent confusions.`);
  const table = element("table", {}, caption, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
  return element("figure", {}, element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Confusions of ${spec.title}` }, table));
}
