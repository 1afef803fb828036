"""What stands where on the ring, asked of the browser; and clusters that are hard to draw."""

from typing import Any

OVERLAPS = """() => {
  const texts = document.querySelectorAll("#ring svg > g > .node text, #ring svg .centre-text");
  const words = [...texts].filter((one) => one.textContent);
  const boxes = words.map((one) => [one.textContent, one.getBoundingClientRect()]);
  const wide = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const high = (a, b) => Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  const over = (a, b) => wide(a, b) > 1 && high(a, b) > 3;
  const ring = document.querySelector("#ring svg").getBoundingClientRect();
  const found = [];
  boxes.forEach(([text, box], i) => {
    const out = box.left < ring.left - 1 || box.right > ring.right + 1 || box.bottom > ring.bottom + 1;
    if (out) found.push(`${text} leaves the ring`);
    for (const [other, there] of boxes.slice(i + 1)) if (over(box, there)) found.push(`${text} over ${other}`);
  });
  return found;
}"""
"""Words of the ring that stand on each other, or leave it. The lines of a font's box are taller than its letters."""

FLIGHTS = """() => {
  const sky = document.querySelector("#ring .sky");
  const shown = sky.getBoundingClientRect();
  const marks = [...document.querySelectorAll("#ring .link-mark.cut")].map((one) => one.getBoundingClientRect());
  const at = ({ transform }) => transform.match(/-?[\\d.]+/g).map(Number);
  const found = [];
  for (const run of sky.getAnimations({ subtree: true })) {
    const frames = run.effect.getKeyframes();
    const [x, y] = at(frames.at(-1));
    const far = (box) => Math.hypot(box.x + box.width / 2 - shown.x - x, box.y + box.height / 2 - shown.y - y);
    const near = marks.some((box) => far(box) < 16);
    const broken = run.effect.target.classList.contains("broken");
    if (broken && !near) found.push(`a broken message ends at ${x}, ${y}, where no cut is`);
    if (!broken && near) found.push(`a message ends whole at the cut at ${x}, ${y}`);
    for (const cut of broken ? [] : document.querySelectorAll("#ring .link.cut")) {
      const matrix = cut.getScreenCTM();
      const end = new DOMPoint(cut.x2.baseVal.value, cut.y2.baseVal.value).matrixTransform(matrix);
      const start = new DOMPoint(cut.x1.baseVal.value, cut.y1.baseVal.value).matrixTransform(matrix);
      const [fx, fy] = at(frames[0]);
      const same = (point, px, py) => Math.hypot(point.x - shown.x - px, point.y - shown.y - py) < 4;
      if (same(start, fx, fy) && same(end, x, y)) found.push("a message passes over a cut");
    }
  }
  return found;
}"""
"""Messages that pass over a link that is drawn as cut, or break where none is."""


def crowd(number: int, name: str, roles: str, term: int) -> dict[str, Any]:
    """What `/cluster` may say of so many nodes. `roles`: calm, cut (many faults, many words) or dead (most of them)."""
    names = [name.format(i) for i in range(1, number + 1)]
    nodes: list[dict[str, Any]] = []
    for i, own in enumerate(names):
        peers = [one for one in names if one != own]
        role = "leader" if i == 0 else ("pre-candidate" if roles == "cut" else "follower")
        faults = [
            {"kind": "cut", "peer": peer, "direction": "both", "value": 0, "expires_in_ms": 9000} for peer in peers[:2]
        ]
        slow = [
            {"kind": "delay", "peer": peer, "direction": "out", "value": 250, "expires_in_ms": 9000} for peer in peers
        ]
        counts = ("commit", "applied", "durable", "first_index", "last_index", "log_bytes", "uptime_ms")
        status = {
            **dict.fromkeys(counts, 9),
            "name": own,
            "role": role,
            "term": term,
            "vote": own if i < 2 else names[0],
            "leader": names[0],
            "boot": own,
            "version": "0",
            "client_url": "",
            "leaving": i == 1,
            "waiting_for": "",
            "fatal": "",
            "voters": [{"name": one} for one in names],
            "election_due_in_ms": 90,
            "election_timeout_ms": 100,
            "faults": (faults + (slow if i % 2 else [])) if roles == "cut" and i else [],
            "peers": [{"name": peer, "link_up": True, "last_contact_ms": 5} for peer in peers],
        }
        gone = roles == "dead" and i > number // 2
        nodes.append(
            {
                "name": own,
                "state": "unknown" if gone else "reachable",
                "age_ms": 90_000 if gone else 5,
                "status": status,
            }
        )
    return {"node": names[0], "cluster_id": "c", "nodes": nodes}
