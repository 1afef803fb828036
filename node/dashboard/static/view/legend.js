/** Signs of the page beside their names: a few words each below the ring, sentences in the help. */
import { IN_LEGEND, MARKS } from "../marks.js";
import { SHAPES } from "./ring.js";
import { h, s } from "./dom.js";

const WIDE = "(min-width: 641px)";

/** The sign itself, as the views draw it. */
export function sign(place, look) {
  const line = (...drawn) => s("svg", { viewBox: "0 0 24 20", "aria-hidden": "true", class: "sign" }, ...drawn);
  const drawn = {
    node: () => s("svg", { viewBox: "-46 -46 92 92", class: `sign node ${look}`, "aria-hidden": "true" }, s("path", { class: "shape", d: SHAPES[look], "stroke-width": 6 })),
    around: () => (look === "alarm"
      ? s("svg", { viewBox: "0 0 24 20", class: "sign node", "aria-hidden": "true" }, s("text", { class: "sub alarm", x: 12, y: 14 }, "abc"))
      : s("svg", { viewBox: "-14 -14 28 28", class: "sign node", "aria-hidden": "true", "aria-selected": "true" },
        s("circle", { class: look, r: 10, pathLength: 100, "stroke-dasharray": look === "timer" ? "65 100" : null }))),
    group: () => line(s("g", { class: "group g0" }, s("path", { d: "M6 10L18 10", "stroke-width": 12 }))),
    link: () => line(s("line", { class: `link ${look === "main" ? "up main" : look}`, x1: 0, x2: 24, y1: 10, y2: 10 }), look === "cut" && s("text", { class: "link-mark cut", x: 12, y: 10, "font-size": 14 }, "✕")),
    message: () => h("i", { class: `flight ${{ other: "", refused: "reply refused" }[look] ?? look}`, "aria-hidden": "true" }, { vote: "V", append: "+2", refused: "✗" }[look]),
    hub: () => line(look === "pip-line" ? s("line", { class: look, x1: 12, x2: 12, y1: 3, y2: 17 }) : s("circle", { class: look, cx: 12, cy: 10, r: 4.5 })),
    letter: () => h("b", { class: "mono" }, look),
    log: () => null,
    figure: () => h("span", { class: look === "chip" ? "chip c1" : "bar", "aria-hidden": "true" }, look === "chip" ? "3" : h("i", {})),
  };
  return drawn[place]();
}

export function makeLegend(box) {
  const items = IN_LEGEND.flatMap((place) => MARKS[place].map(([look, name]) => h("span", {}, sign(place, look), name)));
  const open = matchMedia(WIDE).matches;
  box.append(h("details", { open }, h("summary", {}, "What the signs mean"), h("div", { class: "legend-items" }, items)));
}
