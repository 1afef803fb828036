/** What happened, newest first: filtered by kind and text, paused at will, kept as a file. */
import { GROUPS, nodesOf, termColour } from "../trace.js";
import { folded, nothingWords, timesWords, wordsOf } from "../sentences.js";
import { at as byId, clock, h, keyed, memory, say, set } from "./dom.js";

const ROWS_MAX = 150;
const GROUP_OF = new Map(Object.entries(GROUPS).flatMap(([group, kinds]) => kinds.map((kind) => [kind, group])));

export function makeEvents(box, note) {
  const off = new Set((memory.get("events-off") ?? "links").split(",").filter(Boolean));
  let paused = null;
  let last = null;

  const again = () => last && update(last, true);
  const search = h("input", { type: "search", id: "events-search", placeholder: "filter by text, node, term 3 …", "aria-label": "Filter events by text", oninput: again });
  const chips = Object.keys(GROUPS).map((group) =>
    h("button", { type: "button", "aria-pressed": String(!off.has(group)), onclick: ({ currentTarget }) => toggle(group, currentTarget) }, group),
  );
  const pause = h("button", { type: "button", "aria-pressed": "false", onclick: () => {
    paused = paused ? null : last.events;
    set(pause, "aria-pressed", String(Boolean(paused)));
    say(pause, paused ? "go on" : "pause");
    again();
  } }, "pause");
  const save = h("button", { type: "button", onclick: () => last && download(last) }, "save");
  const list = h("ol", { class: "events", tabindex: "0", "aria-label": "Events, the newest first" });
  const nothing = h("p", { class: "muted" });
  box.append(h("div", { class: "filters" }, search, ...chips, pause, save), nothing, list);

  function toggle(group, button) {
    if (!off.delete(group)) off.add(group);
    set(button, "aria-pressed", String(!off.has(group)));
    memory.set("events-off", [...off].join(","));
    again();
  }

  let drawn = null;
  function update(state, force = false) {
    last = state;
    const events = paused ?? state.events;
    if (!force && events.length && drawn === events) return;
    drawn = events;
    const words = search.value.trim().toLowerCase();
    const fit = events.filter((event) => !off.has(GROUP_OF.get(event.kind) ?? "life") && matches(event, words));
    const rows = folded(fit).slice(-ROWS_MAX).reverse();
    keyed(list, rows, (one) => one.event.serial, row, ({ firstChild, lastChild }, one) => {
      say(firstChild, clock(one.last));
      set(firstChild, "datetime", new Date(one.last).toISOString());
      say(lastChild.lastChild, timesWords(one));
    });
    set(nothing, "hidden", events.length ? "" : null);
    say(nothing, nothingWords(nodesOf(state).find((node) => node.self), "None yet."));
    const hidden = events.length - fit.length;
    const more = fit.length - rows.reduce((sum, one) => sum + one.times, 0);
    say(note, [`${fit.length} of ${events.length}`, hidden ? `${hidden} filtered out` : "", more ? `the oldest ${more} not shown` : "", state.forgotten ? `${state.forgotten} older ones forgotten` : "", paused ? "paused" : ""].filter(Boolean).join(", "));
  }
  return { update, focus: () => byId("events-search").focus() };
}

function matches(event, words) {
  if (!words) return true;
  const text = `${event.node} ${event.kind} ${event.role} term ${event.term} ${wordsOf(event)}`.toLowerCase();
  return words.split(/\s+/).every((word) => text.includes(word));
}

function row({ event }) {
  return h(
    "li",
    { class: event.kind, title: `${event.kind} in term ${event.term} as ${event.role || "?"}` },
    h("time", {}),
    h("span", { class: "who" }, event.node),
    h("span", { class: `chip c${termColour(event.term)}`, role: "img", "aria-label": `term ${event.term}` }, String(event.term)),
    h("span", { class: "what" }, wordsOf(event), h("span", { class: "times" })),
  );
}

function download(state) {
  const lines = state.events.map((event) => JSON.stringify({ time_us: Math.round(event.at * 1000), node: event.node, kind: event.kind, term: event.term, role: event.role, detail: event.detail }));
  const url = URL.createObjectURL(new Blob([lines.join("\n"), "\n"], { type: "application/x-ndjson" }));
  h("a", { href: url, download: `events-${state.viewpoint}.ndjson` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
