/** The sheet of keys and signs. */
import { MARKS, PLACES } from "../marks.js";
import { h, memory } from "./dom.js";
import { sign } from "./legend.js";

const KEYS = [
  ["?", "this sheet"],
  ["1 … 9", "pick a node"],
  ["← →", "on the ring: the next node"],
  ["/", "filter the events"],
  ["m", "stop or show moving messages"],
  ["t", "theme: system, light, dark"],
  ["Esc", "close this sheet, or an open form"],
];

export function makeHelp(dialog) {
  const single = h("input", { type: "checkbox", onchange: () => memory.set("keys", single.checked ? "on" : "off") });
  single.checked = memory.get("keys") !== "off";
  const signs = Object.entries(MARKS).flatMap(([place, marks]) => [
    h("h3", {}, PLACES[place]),
    h("dl", { class: "signs" }, marks.flatMap(([look, name, means]) => [h("dt", {}, sign(place, look), ` ${name}`), h("dd", {}, means)])),
  ]);
  dialog.append(
    h("h2", { id: "help-title" }, "What this page shows"),
    h("p", {}, "A node's page shows what that node hears; the monitor's page each node's own word. A node that is not heard is unknown, not dead. Messages move far slower than they did, and only some are shown."),
    h("h3", {}, "Keys"),
    h("dl", {}, KEYS.flatMap(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)])),
    h("p", {}, h("label", { class: "inline" }, single, "single keys work")),
    ...signs,
    h("form", { method: "dialog" }, h("button", { class: "main" }, "close")),
  );
  return { open: () => dialog.showModal(), keysWork: () => single.checked };
}
