"use strict";
// The time under the pointer. Without this nothing is missing but that.
for (const area of document.querySelectorAll(".timeline")) {
  const rows = area.querySelector(".rows");
  const line = document.createElement("div");
  const words = document.createElement("span");
  line.className = "cursor";
  line.append(words);
  line.hidden = true;
  rows.append(line);
  area.addEventListener("pointermove", (event) => {
    const draw = rows.querySelector(".draw").getBoundingClientRect();
    const share = (event.clientX - draw.left) / draw.width;
    line.hidden = share < 0 || share > 1;
    if (line.hidden) return;
    const from = Number(area.dataset.from);
    const at = from + share * (Number(area.dataset.to) - from);
    words.textContent = (at / 1e6).toFixed(3) + " s";
    words.className = share > 0.9 ? "left" : "";
    line.style.left = draw.left - rows.getBoundingClientRect().left + share * draw.width + "px";
  });
  area.addEventListener("pointerleave", () => { line.hidden = true; });
}
