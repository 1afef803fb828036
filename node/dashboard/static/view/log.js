/** The log's end: entries with the colour of their term, and how far they are: open, committed, applied. */
import { nodesOf, termColour } from "../trace.js";
import { bytes, nothingWords, oldWords, whole } from "../sentences.js";
import { h, keyed, say, set } from "./dom.js";

export const ENTRIES_SHOWN = 60;
const KINDS = { noop: "a leader's first entry", configuration: "configuration", write: "write" };

export function makeLog(box, note) {
  const edges = h("p", { class: "edges" });
  const list = h("div", { class: "entries", tabindex: "0", role: "list", "aria-label": "Last entries, the newest first" });
  const nothing = h("p", { class: "muted" });
  box.append(nothing, edges, list);
  const make = () =>
    h("div", { role: "listitem" }, h("span", { class: "index" }), h("span", { class: "chip" }), h("span", { class: "what" }), h("span", { class: "marks" }, h("span", { class: "match" }), h("span")));

  /** Everything is of one answer, and so of one moment: other answers know of entries that this one has not. */
  return (state) => {
    const log = state.log || null;
    const own = nodesOf(state).find((node) => node.self);
    set(nothing, "hidden", log ? "" : null);
    say(nothing, nothingWords(own, "Not read yet."));
    set(edges, "hidden", log ? null : "");
    say(note, log ? [`as ${log.role} of term ${log.term}, newest first`, oldWords(own)].filter(Boolean).join(", ") : "");
    const facts = log ? [["first", log.first_index], ["last", log.last_index], ["committed", log.commit], ["applied", log.applied], ["durable", log.durable]] : [];
    keyed(edges, facts, (fact) => fact[0], (fact) => h("span", {}, `${fact[0]} `, h("b")), (span, fact) => say(span.lastChild, whole(fact[1])));
    const holders = Object.entries(log?.match ?? {});
    const entries = log?.entries.toReversed().slice(0, ENTRIES_SHOWN) ?? [];
    keyed(list, entries, (entry) => `${entry.index}.${entry.term}`, make, (row, entry) => {
      const [index, term, what, marks] = row.children;
      const open = entry.index > log.commit;
      set(row, "class", open ? "entry open" : "entry");
      say(index, whole(entry.index));
      say(term, String(entry.term));
      set(term, "class", `chip c${termColour(entry.term)}`);
      set(term, "aria-label", `term ${entry.term}`);
      set(term, "role", "img");
      say(what, entry.summary || `${KINDS[entry.kind] ?? entry.kind} (${bytes(entry.size_bytes)})`);
      set(what, "title", `${entry.kind}, ${entry.size_bytes} bytes, checksum ${entry.checksum}`);
      const at = holders.filter(([, match]) => match === entry.index).map(([name]) => name);
      say(marks.firstChild, at.length && entry.index !== log.last_index ? `◂ ${at.join(" ")}  ` : "");
      const [word, look] = open ? ["○ open", "open"] : entry.index > log.applied ? ["✓ committed", "committed"] : ["✓✓ applied", "applied"];
      say(marks.lastChild, word);
      set(marks.lastChild, "class", look);
    });
  };
}
