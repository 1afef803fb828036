/** Figures of one node since it started, its peers' traffic, and commit latency second by second. */
import { bytes, nothingWords, oldWords, whole } from "../sentences.js";
import { nodesOf } from "../trace.js";
import { h, keyed, s, say, set } from "./dom.js";

const WIDTH = 480;
const HEIGHT = 120;
const SECONDS = 120;
const FLOOR = 14;
const CLOCKS_DIFFER_MS = 600_000;

export function makeStats(card, box, note) {
  const figures = h("div", { class: "figures" });
  const chart = makeChart();
  const peers = h("tbody");
  const moves = h("tbody");
  const heads = ["Peer", "Sent", "Received", "Bytes sent", "Bytes received"];
  const content = h(
    "div",
    { hidden: true },
    figures,
    chart.element,
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Traffic with each peer" },
      h("table", {}, h("thead", {}, h("tr", {}, heads.map((name, i) => h("th", { scope: "col", class: i ? "num" : null }, name)))), peers)),
    h("details", {}, h("summary", {}, "State transitions"), h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "From and to"), h("th", { scope: "col", class: "num" }, "Times"))), moves)),
  );
  const nothing = h("p", { class: "muted" });
  box.append(content, nothing);

  return (state) => {
    const { stats } = state;
    set(card, "hidden", stats === false ? "" : null); // its server has none, and never will
    set(content, "hidden", stats ? null : "");
    set(nothing, "hidden", stats ? "" : null);
    const own = nodesOf(state).find((node) => node.self);
    say(nothing, nothingWords(own, "Not measured yet."));
    say(note, stats ? ["since it started", oldWords(own)].filter(Boolean).join(", ") : "");
    if (!stats) return;
    const latency = stats.commit_latency_ms ?? {};
    const rows = [
      ["elections started", stats.elections?.started],
      ["won", stats.elections?.won],
      ["lost", stats.elections?.lost],
      ["votes granted", stats.votes?.granted],
      ["votes refused", stats.votes?.refused],
      ["heartbeats sent", stats.heartbeats?.sent],
      ["heartbeats received", stats.heartbeats?.received],
      ["commit p50", ms(latency.p50)],
      ["commit p99", ms(latency.p99)],
    ];
    keyed(figures, rows, (one) => one[0], (one) => h("div", { class: "figure" }, h("b"), h("span", {}, one[0])), (box_, one) => say(box_.firstChild, show(one[1])));
    chart.update(latency.recent ?? []);
    keyed(peers, stats.peers ?? [], (peer) => peer.name, (peer) => h("tr", {}, h("th", { scope: "row" }, peer.name), ...heads.slice(1).map(() => h("td", { class: "num" }))), (row, peer) => {
      say(row.children[1], show(peer.messages_sent));
      say(row.children[2], show(peer.messages_received));
      say(row.children[3], bytes(peer.bytes_sent ?? 0));
      say(row.children[4], bytes(peer.bytes_received ?? 0));
    });
    const counted = Object.entries(stats.transitions ?? {});
    keyed(moves, counted, (move) => move[0], (move) => h("tr", {}, h("th", { scope: "row" }, move[0].replace("->", " → ")), h("td", { class: "num" })), (row, move) => say(row.lastChild, show(move[1])));
  };
}

const ms = (value) => (value === null || value === undefined ? "–" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`);
const show = (value) => (typeof value === "number" ? whole(value) : (value ?? "–"));

function makeChart() {
  const slow = s("path", { class: "max" });
  const usual = s("path", { class: "p50" });
  const empty = h("p", { class: "muted empty" }, "No commits measured in the last two minutes: the leader measures them.");
  const svg = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": "Commit latency", hidden: true }, s("line", { class: "axis", x1: 0, x2: WIDTH, y1: HEIGHT - FLOOR, y2: HEIGHT - FLOOR }), slow, usual);
  const scale = h("p", { class: "muted" }, h("i", { class: "swatch p50" }), "median ", h("i", { class: "swatch max" }), "slowest of each second, last two minutes; ", h("span"));
  return {
    element: h("div", { class: "chart" }, h("h3", {}, "Commit latency"), svg, empty, scale),
    update(recent) {
      set(svg, "hidden", recent.length ? null : "");
      set(scale, "hidden", recent.length ? null : "");
      set(empty, "hidden", recent.length ? "" : null);
      const most = Math.max(1, ...recent.map((one) => one.max));
      const newest = recent.at(-1)?.at_ms ?? 0;
      const end = Math.abs(Date.now() - newest) < CLOCKS_DIFFER_MS ? Math.max(newest, Date.now() - 1000) : newest;
      const bar = WIDTH / SECONDS;
      const path = (pick) =>
        recent.filter((one) => end - one.at_ms < SECONDS * 1000).map((one) => {
          const x = WIDTH - ((end - one.at_ms) / 1000 + 1) * bar;
          const height = ((HEIGHT - FLOOR - 4) * pick(one)) / most;
          return `M${x.toFixed(1)} ${HEIGHT - FLOOR}v${(-height).toFixed(1)}h${(bar - 0.8).toFixed(1)}v${height.toFixed(1)}z`;
        }).join("");
      set(slow, "d", path((one) => one.max));
      set(usual, "d", path((one) => one.p50));
      const words = recent.length ? `highest ${ms(most)}, ${show(recent.at(-1).count)} commits in the last second that had any` : "";
      say(scale.lastChild, words);
      set(svg, "aria-label", words ? `Commit latency: ${words}` : "Commit latency");
    },
  };
}
