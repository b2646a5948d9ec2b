// SPDX-License-Identifier: MIT
"use strict";

const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Which quality measure the curves and the BD-rates are of.
for (const radio of all("input[name=metric]")) {
  radio.addEventListener("change", () => {
    for (const element of all("[data-metric]")) element.hidden = element.dataset.metric !== radio.value;
  });
}

// The legend takes lines out of every chart of its section.
for (const button of all(".legend button")) {
  button.addEventListener("click", () => {
    const shown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(shown));
    for (const line of all(`svg.chart .${button.dataset.key}`, button.closest("section"))) {
      line.style.display = shown ? "" : "none";
    }
  });
}

// One figure of many, by selects named like its data attributes.
for (const picker of all("[data-picks]")) {
  const selects = all("select", picker);
  const show = () => {
    for (const figure of all(`[data-of=${picker.dataset.picks}]`)) {
      figure.hidden = selects.some((select) => figure.dataset[select.name] !== select.value);
    }
  };
  for (const select of selects) select.addEventListener("change", show);
}

// The value under the pointer: the nearest drawn point, or the nearest vertex of a line.
const tip = document.getElementById("tip");
let found = null;

function forget() {
  tip.hidden = true;
  if (found) found.classList.remove("found");
  found = null;
}

function unscaled(data, place) {
  const [low, high, start, end, log] = data.split(" ").map(Number);
  const share = (place - start) / (end - start);
  return log ? low * (high / low) ** share : low + share * (high - low);
}

function candidates(chart) {
  const points = all(".pt", chart).filter((point) => point.querySelector("title"));
  if (points.length) {
    return points.filter((point) => point.parentNode.style.display !== "none").map((point) => {
      const [, x, y] = point.getAttribute("transform").match(/([-\d.]+) ([-\d.]+)/).map(Number);
      return { x, y, element: point, text: () => point.querySelector("title").textContent };
    });
  }
  const [xName, xDigits] = chart.dataset.xAxis.split("|");
  const [yName, yDigits] = chart.dataset.yAxis.split("|");
  return all("path.line[data-name]", chart)
    .filter((line) => line.parentNode.style.display !== "none")
    .flatMap((line) => line.getAttribute("d").slice(1).split("L").map((pair) => {
      const [x, y] = pair.split(" ").map(Number);
      const text = () => `${line.dataset.name}\n${xName} ${unscaled(chart.dataset.x, x).toFixed(xDigits)}: ` +
        `${unscaled(chart.dataset.y, y).toPrecision(Number(yDigits) + 2)} ${yName}`;
      return { x, y, element: null, text };
    }));
}

for (const chart of all("svg.chart[data-x]")) {
  let places = null;
  chart.addEventListener("pointerenter", () => { places = candidates(chart); });
  chart.addEventListener("pointerleave", forget);
  chart.addEventListener("pointermove", (event) => {
    places ??= candidates(chart);
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse());
    let best = null, nearest = 26 ** 2;
    for (const place of places) {
      const distance = (place.x - point.x) ** 2 + (place.y - point.y) ** 2;
      if (distance < nearest) [best, nearest] = [place, distance];
    }
    forget();
    if (!best) return;
    found = best.element;
    if (found) found.classList.add("found");
    tip.textContent = best.text();
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 4))}px`;
    tip.style.top = `${event.clientY - box.height - 12 > 0 ? event.clientY - box.height - 12 : event.clientY + 18}px`;
  });
}
addEventListener("scroll", forget, { passive: true });

// Two pictures and the divider between them.
const compare = document.querySelector(".compare");
if (compare) {
  const groups = JSON.parse(document.getElementById("pictures").textContent);
  const [which, left, right] = ["group", "left", "right"].map((name) => compare.querySelector(`select[name=${name}]`));
  const stage = compare.querySelector(".stage"), range = compare.querySelector("input[type=range]");
  const under = stage.querySelector(".under"), over = stage.querySelector(".over");

  const place = (percent) => { stage.style.setProperty("--at", `${percent}%`); };
  const fill = (select, pictures, wanted) => {
    select.replaceChildren(...pictures.map((picture, index) => new Option(picture.label, index)));
    const at = pictures.findIndex((picture) => picture.codec === wanted);
    select.selectedIndex = at < 0 ? pictures.length - 1 : at;
  };
  const show = () => {
    const group = groups[which.value], a = group.pictures[left.value], b = group.pictures[right.value];
    stage.style.aspectRatio = `${group.width} / ${group.height}`;
    compare.style.setProperty("--natural", group.width);
    compare.style.setProperty("--ratio", group.width / group.height);
    over.src = a.src;
    under.src = b.src;
    [over.alt, under.alt] = [a, b].map((picture) => `frame ${group.frame} of ${group.clip}: ${picture.label}`);
    stage.querySelector(".l").textContent = a.label;
    stage.querySelector(".r").textContent = b.label;
    [a, b].forEach((picture, index) => {
      const box = compare.querySelectorAll(".said-of div")[index];
      box.replaceChildren(Object.assign(document.createElement("b"), { textContent: picture.label }),
        document.createElement("br"), picture.about);
    });
  };
  const choose = () => {
    const { pictures } = groups[which.value];
    const [a, b] = [left, right].map((select) => select.dataset.codec);
    fill(left, pictures, a);
    fill(right, pictures, b);
    show();
  };
  which.addEventListener("change", choose);
  for (const select of [left, right]) {
    select.addEventListener("change", () => {
      select.dataset.codec = groups[which.value].pictures[select.value].codec;
      show();
    });
  }
  range.addEventListener("input", () => place(range.value));
  const drag = (event) => {
    const box = stage.getBoundingClientRect();
    range.value = Math.max(0, Math.min(100, (100 * (event.clientX - box.left)) / box.width));
    place(range.value);
  };
  stage.addEventListener("pointerdown", (event) => { stage.setPointerCapture(event.pointerId); drag(event); });
  stage.addEventListener("pointermove", (event) => { if (event.buttons || event.pointerType === "touch") drag(event); });
  choose();
  place(range.value);
}
