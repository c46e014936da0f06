// The page on which a model is tried: hand an image over, wait, look at its objects.
// Parts, in this order: what there is; handing over; what is found; drawing; moving; choosing;
// downloads; what a person does. The addresses asked are those of deploy/serve.py.
"use strict";

const LINE = "#ffdd00", SHADOW = "rgb(0 0 0 / .75)", CHOSEN = "#ffffff";
const AGAIN = 300;        // ms between two questions how far the work is
const MOST_ZOOM = 60;     // CSS px of a px of the image
const MANY = 2000;        // objects in sight, above which lines are thin
const CLICK = 4;          // CSS px that a pointer may move in a click
const MEASURES = {        // what is shown of an object: columns of the table, units, decimals
  Score: [["score", "", 3]],
  Area: [["area_px", " px", 0], ["area_m2", " m²", 2]],
  Perimeter: [["perimeter_px", " px", 1], ["perimeter_m", " m", 2]],
  Centre: [["x_px", "", 1], ["y_px", " px", 1]],
};

const $ = (id) => document.getElementById(id);
const canvas = $("canvas"), pen = canvas.getContext("2d");
const hits = document.createElement("canvas").getContext("2d");  // asked what lies where

// ---- what there is
let model = null;         // as /model says
let job = null;           // id of the image that is worked on or shown
let found = null;         // what is shown: state of the job, objects, picture
let least = 0;            // score from which an object counts
let count = 0;            // of those, the first ones
let chosen = -1;          // place of one of them
let outlined = true;
let view = {scale: 1, x: 0, y: 0};  // CSS px of a px; where its upper left corner lies

async function ask(address, options) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Error("The program behind this page does not answer; look whether it still runs.");
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  const words = typeof said.detail === "string" ? said.detail : `The page was answered with ${answer.status}.`;
  throw new Error(words);
}

function only(...shown) {
  for (const id of ["start", "work", "found"]) $(id).hidden = !shown.includes(id);
  $("another").hidden = shown.includes("start");
}

function complain(words) {
  $("mistake").textContent = words;
  $("mistake").hidden = !words;
  if (words) $("mistake").scrollIntoView({block: "nearest"});
}

// ---- handing over
async function handOver(files) {
  if (!model) return;
  if (files.length !== 1) return complain("Hand over one image file at a time.");
  const file = files[0];
  const most = model.bytes / 1e6;
  if (file.size > model.bytes) {
    return complain(`${file.name}: its ${(file.size / 1e6).toFixed(0)} MB are more than the ${most} MB that this page takes; python -m deploy.apply takes files of any size.`);
  }
  try {
    await file.slice(0, 1).arrayBuffer();  // of a folder this fails
  } catch {
    return complain(`${file.name}: cannot be read; hand over an image file.`);
  }
  leave();
  complain("");
  only("work");
  $("doing").textContent = `Sending ${file.name}`;
  $("bar").removeAttribute("value");
  const mine = job = Symbol(file.name);  // another one may be handed over meanwhile
  let id = null;
  try {
    const headers = {"X-File-Name": encodeURIComponent(file.name)};
    const answer = await ask("images", {method: "POST", body: file, headers});
    ({id} = await answer.json());
    if (job !== mine) return forget(id);
    job = id;
    await follow(id);
  } catch (error) {
    if (job === mine || (job && job === id)) {
      job = null;
      only("start");
      complain(error.message);
    }
  }
}

async function follow(id) {
  for (;;) {
    const state = await (await ask(`images/${id}`)).json();
    if (job !== id) return;
    if (state.state === "failed") throw new Error(state.reason);
    if (state.state === "done") return show(id, state);
    tellProgress(state);
    await new Promise((done) => setTimeout(done, AGAIN));
    if (job !== id) return;
  }
}

function tellProgress(state) {
  const seconds = Math.round(state.seconds || 0);
  let words = `${state.name}: waits for ${state.before === 1 ? "another image" : `${state.before} other images`}`;
  let share = null;
  if (state.state === "working") {
    const doing = {reading: "reading", predicting: "predicting", finding: "finding objects"}[state.what];
    words = `${state.name}: ${doing}, ${seconds} s`;
    if (typeof state.share === "number") share = state.share;
    else if (state.about) {
      share = Math.min(state.seconds / state.about, .97);
      words += ` of about ${Math.ceil(state.about)} s`;
    }
  }
  $("doing").textContent = words;
  if (share === null) $("bar").removeAttribute("value");
  else $("bar").value = share;
}

function forget(id) {
  return fetch(`images/${id}`, {method: "DELETE", keepalive: true}).catch(() => {});
}

function leave() {
  if (typeof job === "string") forget(job);
  job = found = null;
}

// ---- what is found
async function show(id, state) {
  const objects = await (await ask(`images/${id}/objects`)).json();
  const picture = new Image();
  picture.src = `images/${id}/picture`;
  await picture.decode().catch(() => { throw new Error(`${state.name}: its picture cannot be shown.`); });
  if (job !== id) return;
  const boxes = objects.outlines.map(boxOf);
  found = {...state, ...objects, picture, boxes, paths: objects.outlines.map(pathOf)};
  only("found");
  $("name").textContent = state.name;
  $("size").textContent = `${state.width} × ${state.height} px`;
  $("note").hidden = !state.note;
  $("note").textContent = state.note || "";
  $("nowhere").hidden = state.on_map;
  for (const button of $("downloads").children) {
    button.disabled = button.dataset.form === "gpkg" && !state.on_map;
  }
  $("why").hidden = state.whole;
  $("why").textContent = "Images of more than 2048 x 2048 px keep no objects below the model's own score.";
  const slider = $("score");
  const best = Math.max(objects.scores[0] || 0, model.score, state.lowest);
  slider.min = state.lowest;
  slider.max = best > 1 ? best : 1;
  $("ends").children[0].textContent = rounded(state.lowest, 2);
  $("ends").children[1].textContent = rounded(Number(slider.max), 2);
  $("own").textContent = `The model's own, ${rounded(model.score, 3)}`;
  $("view").style.setProperty("--shape", state.width / state.height);
  setLeast(model.score);
  fit();
}

function boxOf(rings) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const ring of rings) {
    for (let at = 0; at < ring.length; at += 2) {
      box[0] = Math.min(box[0], ring[at]);
      box[1] = Math.min(box[1], ring[at + 1]);
      box[2] = Math.max(box[2], ring[at]);
      box[3] = Math.max(box[3], ring[at + 1]);
    }
  }
  return box;
}

function pathOf(rings) {
  const path = new Path2D();
  for (const ring of rings) {
    path.moveTo(ring[0], ring[1]);
    for (let at = 2; at < ring.length; at += 2) path.lineTo(ring[at], ring[at + 1]);
    path.closePath();
  }
  return path;
}

function setLeast(score) {
  least = score;
  count = found.scores.filter((one) => one >= least).length;  // they fall, so the first ones
  $("score").value = least;
  $("least").textContent = rounded(least, 3);
  $("score").setAttribute("aria-valuetext", rounded(least, 3));
  $("own").disabled = least === model.score;
  $("count").children[0].textContent = count.toLocaleString("en");
  $("count").children[1].textContent = count === 1 ? "object" : "objects";
  $("what").textContent = `The ${count === 1 ? "object" : `${count.toLocaleString("en")} objects`} from ${rounded(least, 3)} on.`;
  canvas.setAttribute("aria-label", `${found.name} with the outlines of ${count} objects`);
  choose(chosen < count ? chosen : -1);
}

function onMap(number) {  // metres to centimetres, degrees as finely
  return number.toFixed(Math.abs(number) > 360 ? 2 : 7);
}

function rounded(number, digits) {
  return number.toLocaleString("en", {minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: number >= 1e4});
}

// ---- drawing
let asked = false;
function draw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => { asked = false; if (found) paint(); });
}

function paint() {
  const ratio = window.devicePixelRatio || 1, {scale, x, y} = view;
  const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * x, ratio * y);
  pen.imageSmoothingEnabled = scale * ratio * found.width / found.picture.naturalWidth < 3;
  pen.drawImage(found.picture, 0, 0, found.width, found.height);
  if (outlined) {
    const all = new Path2D();
    let drawn = 0;
    const [left, top, right, bottom] = [-x / scale, -y / scale, (canvas.clientWidth - x) / scale, (canvas.clientHeight - y) / scale];
    for (let place = 0; place < count; place += 1) {
      const box = found.boxes[place];
      if (box[0] < right && box[2] > left && box[1] < bottom && box[3] > top) {
        all.addPath(found.paths[place]);
        drawn += 1;
      }
    }
    if (drawn <= MANY) stroke(all, SHADOW, 3.5);
    stroke(all, LINE, drawn <= MANY ? 1.6 : 1 / ratio);  // a line of one px is drawn much faster
  }
  if (chosen >= 0) {
    pen.fillStyle = "rgb(255 221 0 / .3)";
    pen.fill(found.paths[chosen], "evenodd");
    stroke(found.paths[chosen], SHADOW, 6);
    stroke(found.paths[chosen], CHOSEN, 3);
  }
}

function stroke(path, colour, width) {
  pen.lineJoin = "bevel";
  pen.strokeStyle = colour;
  pen.lineWidth = width / view.scale;
  pen.stroke(path);
}

// ---- moving
function fitting() {
  return .96 * Math.min(canvas.clientWidth / found.width, canvas.clientHeight / found.height);
}

function fit() {
  const scale = fitting();
  view = {scale, x: (canvas.clientWidth - found.width * scale) / 2, y: (canvas.clientHeight - found.height * scale) / 2};
  draw();
}

function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  const smallest = Math.min(fitting() / 2, 1), largest = Math.max(MOST_ZOOM, fitting());
  const scale = Math.min(Math.max(view.scale * factor, smallest), largest);
  const by = scale / view.scale;
  view = {scale, x: x - (x - view.x) * by, y: y - (y - view.y) * by};
  move(0, 0);
}

function move(right, down) {
  const edge = 40;  // CSS px of the image that stay in sight
  view.x = Math.min(Math.max(view.x + right, edge - found.width * view.scale), canvas.clientWidth - edge);
  view.y = Math.min(Math.max(view.y + down, edge - found.height * view.scale), canvas.clientHeight - edge);
  draw();
}

function bringIntoSight(place) {
  const [left, top, right, bottom] = found.boxes[place];
  const x = view.x + view.scale * (left + right) / 2, y = view.y + view.scale * (top + bottom) / 2;
  const inside = x > 0 && y > 0 && x < canvas.clientWidth && y < canvas.clientHeight;
  if (!inside) move(canvas.clientWidth / 2 - x, canvas.clientHeight / 2 - y);
}

// ---- choosing
function objectAt(x, y) {
  const px = (x - view.x) / view.scale, py = (y - view.y) / view.scale;
  let best = -1, smallest = Infinity;
  for (let place = 0; place < count; place += 1) {
    const [left, top, right, bottom] = found.boxes[place];
    if (px < left || px > right || py < top || py > bottom) continue;
    const size = (right - left) * (bottom - top);
    if (size < smallest && hits.isPointInPath(found.paths[place], px, py, "evenodd")) {
      [best, smallest] = [place, size];
    }
  }
  return best;
}

function choose(place) {
  chosen = place;
  $("which").textContent = place < 0 ? "No object chosen" : `Object ${place + 1}`;
  $("hint").hidden = place >= 0;
  $("previous").disabled = $("next").disabled = count === 0;
  $("measured").replaceChildren(...(place < 0 ? [] : measures(place)));
  draw();
}

function step(by) {
  if (!count) return;
  choose(chosen < 0 ? (by > 0 ? 0 : count - 1) : (chosen + by + count) % count);
  bringIntoSight(chosen);
}

function measures(place) {
  const has = Object.fromEntries(found.columns.map((name, at) => [name, found.rows[place][at]]));
  const shown = [];
  const add = (word, ...value) => {
    const term = document.createElement("dt"), description = document.createElement("dd");
    term.textContent = word;
    description.append(...value);
    shown.push(term, description);
  };
  for (const [word, parts] of Object.entries(MEASURES)) {
    const known = parts.filter(([name]) => name in has);
    add(word, known.map(([name, unit, digits]) => rounded(has[name], digits) + unit).join(", "));
  }
  if ("x_map" in has) add("On the map", [has.x_map, has.y_map].map(onMap).join(", "));
  const swatch = document.createElement("span");
  const colour = [has.mean_red, has.mean_green, has.mean_blue].map(Math.round);
  swatch.className = "swatch";
  swatch.style.background = `rgb(${colour.join(" ")})`;
  add("Mean colour", swatch, colour.join(", "));
  return shown;
}

// ---- downloads
async function download(button) {
  const form = button.dataset.form, name = found.name;
  button.disabled = true;
  complain("");
  try {
    const answer = await ask(`images/${job}/${form}?score=${least}`);
    const file = decodeURIComponent(answer.headers.get("content-disposition").split("''")[1]);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  } catch (error) {
    complain(error.message);
  }
  if (found && found.name === name) button.disabled = form === "gpkg" && !found.on_map;
}

// ---- what a person does
$("file").addEventListener("change", () => {
  const files = [...$("file").files];
  $("file").value = "";  // so that the same one can be chosen again
  if (files.length) handOver(files);
});
$("stop").addEventListener("click", () => { leave(); only("start"); });
$("score").addEventListener("input", () => setLeast(Number($("score").value)));
$("own").addEventListener("click", () => setLeast(model.score));
$("previous").addEventListener("click", () => step(-1));
$("next").addEventListener("click", () => step(1));
$("in").addEventListener("click", () => zoom(1.5));
$("out").addEventListener("click", () => zoom(1 / 1.5));
$("fit").addEventListener("click", fit);
$("lines").addEventListener("click", switchLines);
for (const button of $("downloads").children) button.addEventListener("click", () => download(button));

function switchLines() {
  outlined = !outlined;
  $("lines").setAttribute("aria-pressed", String(outlined));
  draw();
}

const KEYS = {
  "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(.8), "0": fit,
  ArrowLeft: () => move(60, 0), ArrowRight: () => move(-60, 0), ArrowUp: () => move(0, 60), ArrowDown: () => move(0, -60),
  n: () => step(1), p: () => step(-1), o: switchLines, Escape: () => choose(-1),
};
canvas.addEventListener("keydown", (event) => {
  if (!found || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault();
  KEYS[event.key]();
});

canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const lines = event.deltaMode === 1 ? 16 : 1;  // some browsers count lines
  zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? .01 : .002)), event.offsetX, event.offsetY);
}, {passive: false});

const pointers = new Map();  // those that are down: where they are
let travelled = 0;
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  if (!pointers.size) travelled = 0;
  pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
});
canvas.addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId);
  if (!before || !found) return;
  const now = [event.offsetX, event.offsetY];
  const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
  travelled += Math.hypot(now[0] - before[0], now[1] - before[1]) + (other ? CLICK : 0);
  if (other) {  // a pinch: what lies between the fingers stays there
    const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
    zoom(apart(now) / Math.max(apart(before), 1), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    move((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
  } else if (travelled > CLICK) {
    move(now[0] - before[0], now[1] - before[1]);
  }
  pointers.set(event.pointerId, now);
});
canvas.addEventListener("pointerup", (event) => {
  if (found && pointers.size === 1 && travelled <= CLICK) choose(objectAt(event.offsetX, event.offsetY));
  pointers.delete(event.pointerId);
});
canvas.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));

new ResizeObserver(() => { if (found && canvas.clientWidth) move(0, 0); }).observe(canvas);

let inside = 0;  // elements that are dragged over
addEventListener("dragenter", () => { inside += 1; $("over").hidden = false; });
addEventListener("dragleave", () => { inside -= 1; $("over").hidden = inside <= 0; });
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  inside = 0;
  $("over").hidden = true;
  handOver([...event.dataTransfer.files]);
});
addEventListener("pagehide", (event) => { if (!event.persisted) leave(); });

ask("model").then((answer) => answer.json()).then((said) => {
  model = said;
  document.title = `${said.name} - Maskline`;
  $("model").textContent = `${said.name}: finds ${said.objects.join(", ")}`;
  $("limits").textContent = `JPEG, PNG, TIFF, GeoTIFF and others, up to ${said.megapixels} megapixels and ${said.bytes / 1e6} MB. It goes to the program behind this page and nowhere else.`;
}).catch((error) => complain(error.message));
