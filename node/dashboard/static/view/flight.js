/**
 * Messages in flight: small elements above the ring that the browser moves by itself.
 *
 * Why it exists: a message lasts a tenth of a millisecond; shown for most of a second it can be followed, if few are.
 * Which ones are shown, `Flights` decides. No element is made once the pool is full, no script runs while they move.
 */
import { LOOKS } from "../words.js";
import { h, say } from "./dom.js";
import { lane } from "./ring.js";

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
    /** Show one; `detail` is a message event's. */
    fly(own, detail) {
      const [from, to] = detail.sent ? [own, detail.peer] : [detail.peer, own];
      const [a, b] = [ring.places.get(from), ring.places.get(to)];
      const dot = a && b && ring.shown ? take() : null;
      if (!dot) return;
      const { style = "", letter = "" } = LOOKS[detail.type] ?? {};
      const answer = detail.granted ?? detail.success;
      dot.className = `flight ${style}${answer === false ? " refused" : ""}`;
      say(dot, answer === undefined ? (letter === "+" ? (detail.entries ? `+${detail.entries}` : "") : letter) : answer ? "✓" : "✗");
      const scale = Math.min(ring.shown.width / ring.width, ring.shown.height / ring.height);
      const left = (ring.shown.width - ring.width * scale) / 2;
      const { x1, y1, x2, y2 } = lane(a, b);
      const point = (x, y) => `translate(${(left + x * scale).toFixed(1)}px, ${(y * scale).toFixed(1)}px)`;
      const run = dot.animate(
        [
          { transform: point(x1, y1), visibility: "visible" },
          { transform: point(x2, y2), visibility: "visible" },
        ],
        { duration: FLIGHT_MS, easing: "cubic-bezier(.35,.05,.65,.95)" },
      );
      run.onfinish = run.oncancel = () => idle.push(dot);
    },
    clear() {
      for (const run of sky.getAnimations({ subtree: true })) run.cancel();
    },
  };
}
