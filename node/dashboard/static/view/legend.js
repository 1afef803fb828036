/** What the shapes mean. */
import { SHAPES } from "./ring.js";
import { h, s } from "./dom.js";

const ROLES = ["leader", "follower", "pre-candidate", "candidate", "unknown"];
const MESSAGES = [
  ["heartbeat", "heartbeat"],
  ["append", "entries"],
  ["vote", "vote request"],
  ["reply", "hollow: reply"],
];
const LINKS = [
  ["main", "leader to follower"],
  ["cut", "✕ cut"],
  ["down", "down"],
];

export function makeLegend(box) {
  const sign = (role) => s("svg", { viewBox: "-46 -46 92 92", class: `node ${role}`, "aria-hidden": "true" }, s("path", { class: "shape", d: SHAPES[role], "stroke-width": 6 }));
  const line = (look) => s("svg", { viewBox: "0 0 20 20", "aria-hidden": "true" }, s("line", { class: `link ${look}`, x1: 0, x2: 20, y1: 10, y2: 10 }));
  box.append(
    ...ROLES.map((role) => h("span", {}, sign(role), role)),
    ...MESSAGES.map(([look, words]) => h("span", {}, h("i", { class: `flight ${look}`, "aria-hidden": "true" }), words)),
    ...LINKS.map(([look, words]) => h("span", {}, line(look), words)),
  );
}
