/** The sheet of keys and signs. */
import { h, memory } from "./dom.js";

const KEYS = [
  ["?", "this sheet"],
  ["1 … 9", "pick a node"],
  ["← →", "on the ring: the next node"],
  ["/", "filter the events"],
  ["m", "stop or show moving messages"],
  ["t", "theme: system, light, dark"],
  ["Esc", "close this sheet"],
];

export function makeHelp(dialog) {
  const single = h("input", { type: "checkbox", onchange: () => memory.set("keys", single.checked ? "on" : "off") });
  single.checked = memory.get("keys") !== "off";
  dialog.append(
    h("h2", { id: "help-title" }, "What this page shows"),
    h("p", {}, "Every figure is what the server of this page says. A node that it does not hear is unknown, not dead. Filled dots are requests, hollow ones replies; each moves far slower than the message did."),
    h("dl", {}, KEYS.flatMap(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)])),
    h("p", {}, h("label", { class: "inline" }, single, "single keys work")),
    h("form", { method: "dialog" }, h("button", { class: "main" }, "close")),
  );
  return { open: () => dialog.showModal(), keysWork: () => single.checked };
}
