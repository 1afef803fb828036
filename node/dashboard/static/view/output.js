/** The end of a node's own output, where the monitor has it. */
import { h, say, set } from "./dom.js";

const LINES = 200;

export function makeOutput(card, box, note, { source }) {
  const filter = h("input", { type: "search", placeholder: "only lines with …", "aria-label": "Filter output" });
  const text = h("pre", { class: "output", tabindex: "0", "aria-label": "Last lines" });
  box.append(filter, text);
  let whole = "";
  const draw = () => {
    const wanted = filter.value.toLowerCase();
    const stuck = text.scrollTop + text.clientHeight >= text.scrollHeight - 8;
    say(text, wanted ? whole.split("\n").filter((line) => line.toLowerCase().includes(wanted)).join("\n") : whole);
    if (stuck) text.scrollTop = text.scrollHeight;
  };
  filter.addEventListener("input", draw);
  return async (node) => {
    if (source.kind !== "monitor" || !node) return;
    try {
      whole = await source.output(node, LINES);
      set(card, "hidden", null);
      say(note, `last ${LINES} lines`);
      draw();
    } catch (error) {
      say(note, `could not be read: ${error.message}`);
    }
  };
}
