/**
 * Messages in flight: small elements above the ring that the browser moves by itself.
 *
 * Why it exists: a message lasts a tenth of a millisecond; shown for most of a second it can be followed, if few are.
 * Which ones are shown, `Flights` decides. No element is made once the pool is full, no script runs while they move.
 */
import { LOOKS } from "../words.js";
import { h, say } from "./dom.js";
import { lane, markOf } from "./ring.js";

const POOL_MAX = 40;
const FLIGHT_MS = 850;

export function makeSky(box, ring) {
  const sky = h("div", { class: "sky", "aria-hidden": "true" });
  box.append(sky);
  const idle = [];
  let made = 0;

  const take = () => {
    if (idle.length) return idle.pop();
    if (made >= POOL_MAX) return null;
    made += 1;
    return sky.appendChild(h("i", { class: "flight" }));
  };

  return {
    /** Show one; `detail` is a message event's. What a cut stops ends there; where it is unknown whether it arrives, it
     * fades half-way; what came over a link that is drawn as cut came before, and is not shown. */
    fly(own, detail) {
      const [from, to] = detail.sent ? [own, detail.peer] : [detail.peer, own];
      const link = ring.links.get(`${from}>${to}`);
      if (link === "cut" && !detail.sent) return;
      const [a, b] = [ring.places.get(from), ring.places.get(to)];
      const dot = a && b && ring.shown ? take() : null;
      if (!dot) return;
      const { style = "", letter = "" } = LOOKS[detail.type] ?? {};
      const answer = detail.granted ?? detail.success;
      const whole = !detail.sent || link === "up" || link === "slow";
      dot.className = `flight ${style}${answer === false ? " refused" : ""}${whole ? "" : " broken"}`;
      say(dot, answer === undefined ? (letter === "+" ? (detail.entries ? `+${detail.entries}` : "") : letter) : answer ? "✓" : "✗");
      const scale = Math.min(ring.shown.width / ring.width, ring.shown.height / ring.height);
      const left = (ring.shown.width - ring.width * scale) / 2;
      const way = lane(a, b);
      const half = { x: (way.x1 + way.x2) / 2, y: (way.y1 + way.y2) / 2 };
      const { x, y } = whole ? { x: way.x2, y: way.y2 } : link === "cut" ? markOf(way) : half;
      const point = (right, down) => `translate(${(left + right * scale).toFixed(1)}px, ${(down * scale).toFixed(1)}px)`;
      const end = { transform: point(x, y), visibility: "visible" };
      const last = whole ? [end] : [{ ...end, opacity: 1, offset: 0.7 }, { ...end, opacity: 0 }];
      const run = dot.animate([{ transform: point(way.x1, way.y1), visibility: "visible" }, ...last], { duration: FLIGHT_MS, easing: "cubic-bezier(.35,.05,.65,.95)" });
      dot.over = whole ? `${from}>${to}` : "";
      run.onfinish = run.oncancel = () => idle.push(dot);
    },
    /** What flies over a link when it is drawn as cut does not pass. */
    stop() {
      if (![...ring.links.values()].includes("cut")) return;
      for (const run of sky.getAnimations({ subtree: true })) if (ring.links.get(run.effect.target.over) === "cut") run.cancel();
    },
    clear() {
      for (const run of sky.getAnimations({ subtree: true })) run.cancel();
    },
  };
}
