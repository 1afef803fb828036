/** The log's end: entries with the colour of their term, and how far they are: open, committed, applied. */
import { nodesOf, ownStatus, termColour } from "../trace.js";
import { bytes, whole } from "../sentences.js";
import { h, keyed, say, set } from "./dom.js";

export const ENTRIES_SHOWN = 60;
const KINDS = { noop: "a leader's first entry", configuration: "configuration", write: "write" };

export function makeLog(box, note) {
  const edges = h("p", { class: "edges" });
  const list = h("div", { class: "entries", tabindex: "0", role: "list", "aria-label": "Last entries, the newest first" });
  box.append(edges, list);
  const make = () =>
    h("div", { role: "listitem" }, h("span", { class: "index" }), h("span", { class: "chip" }), h("span", { class: "what" }), h("span", { class: "marks" }));

  return (state) => {
    const status = ownStatus(state);
    const { log } = state;
    say(note, state.viewpoint ? `of ${state.viewpoint}, newest first` : "");
    if (!log || !status) return;
    const commit = Math.max(log.commit, status.commit);
    const facts = [
      ["first", log.first_index],
      ["last", log.last_index],
      ["committed", commit],
      ["applied", status.applied],
      ["durable", status.durable],
    ];
    keyed(edges, facts, (fact) => fact[0], (fact) => h("span", {}, `${fact[0]} `, h("b")), (span, fact) => say(span.lastChild, whole(fact[1])));
    const holders = nodesOf(state).filter((node) => node.match?.match_index !== undefined);
    const entries = log.entries.toReversed().slice(0, ENTRIES_SHOWN);
    keyed(list, entries, (entry) => `${entry.index}.${entry.term}`, make, (row, entry) => {
      const [index, term, what, marks] = row.children;
      const open = entry.index > commit;
      set(row, "class", open ? "entry open" : "entry");
      say(index, whole(entry.index));
      say(term, String(entry.term));
      set(term, "class", `chip c${termColour(entry.term)}`);
      set(term, "aria-label", `term ${entry.term}`);
      set(term, "role", "img");
      say(what, entry.summary || `${KINDS[entry.kind] ?? entry.kind} (${bytes(entry.size_bytes)})`);
      set(what, "title", `${entry.kind}, ${entry.size_bytes} bytes, checksum ${entry.checksum}`);
      const at = holders.filter((node) => node.match.match_index === entry.index).map((node) => node.name);
      marks.firstChild ?? marks.append(h("span", { class: "dim" }), h("span"));
      say(marks.firstChild, at.length && entry.index !== log.last_index ? `◂ ${at.join(" ")}  ` : "");
      const [word, look] = open ? ["○ open", "open"] : entry.index > status.applied ? ["✓ committed", "committed"] : ["✓✓ applied", "applied"];
      say(marks.lastChild, word);
      set(marks.lastChild, "class", look);
    });
  };
}
