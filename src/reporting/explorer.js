// The explorer of the report: gallery, score, viewer, comparison with another run.

const byId = (id) => document.getElementById(id);
const RUN = JSON.parse(byId("run-data").textContent);
RUN.pictures = JSON.parse(byId("run-pictures").textContent);
const LAYERS = "tfngpi";
const ERRORS = ["missed", "merged", "split", "poor_outline", "duplicate", "spurious"];
const WORDS = {
  f1_50: "F1", dice: "Dice", iou: "IoU of the pixels", boundary_iou: "IoU of the outlines",
  detection_accuracy: "detection accuracy", errors: "errors", tp: "right", fp: "wrong",
  fn: "missed", objects: "objects", detections: "detections", changed: "difference of F1, either way", change: "F1 less that of the other run",
  name: "name",
};
const SIDE = 168, STEP = 60, KEPT = 240; // px of a thumbnail, cards added at once, pictures held
const PLAIN = {
  image: "", score: "", set: "", kind: "", group: "", text: "", sort: "f1_50", falling: "",
  least: "", most: "", layers: "tfngi", view: "one",
};
const state = { ...PLAIN };
const look = { zoom: 1, x: 0.5, y: 0.5, chosen: null }; // what of an image the viewer shows
let other = null, compared = null, order = [], inView = new Set(), asked = false;
const cards = new Map(), held = new Map();
const colour = {};
for (const name of ["tp", "fp", "fn", "ignored", "truth", "probability"]) {
  colour[name] = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// -- words ---------------------------------------------------------------------------------------

function make(tag, text = "", name = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (name) element.className = name;
  return element;
}

const words = (kind) => kind.replaceAll("_", " ");
const digits = (value) => value.toFixed(3);
const counted = (number, one, many) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
const cut = () => (state.score === "" ? null : Number(state.score));
const judged = (image) => RUN.sets[image.set].judged;
const ofSet = () => RUN.images.filter((one) => !state.set || RUN.sets[one.set].name === state.set);
const shownImage = () => RUN.images.find((one) => one.name === state.image);

function signed(value, kind = "count") {
  const text = kind === "count" ? Math.abs(value).toLocaleString("en") : digits(Math.abs(value));
  return `${value < 0 ? "\u2212" : "+"}${text}`;
}

function complain(text) {
  byId("mistake").textContent = text;
  byId("mistake").hidden = !text;
}

function pointWords() {
  const one = RUN.sets.filter((set) => !state.set || set.name === state.set);
  const points = new Set(one.map((set) => set.point));
  const [point] = points;
  if (points.size > 1 || point === null) return "the operating point of each fold and set";
  return `${digits(point)}, the operating point`;
}

// -- pictures ------------------------------------------------------------------------------------

function bytesOf(text) {
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let place = 0; place < bytes.length; place += 1) bytes[place] = letters.charCodeAt(place);
  return bytes;
}

function fromFile(name) {
  return new Promise((done) => {
    const picture = new Image();
    picture.onload = () => done(picture);
    picture.onerror = () => done(null);
    picture.src = `${RUN.pictures.folder}/${name}`;
  });
}

// The photograph (0) or the map (1) of an image of a run, made once it is to be seen.
function pictureOf(run, image, which) {
  const number = run.images.indexOf(image), told = run.pictures.copies[number]?.[which];
  if (!told || (run.pictures.folder && run !== RUN)) return Promise.resolve(null);
  const key = `${run === RUN ? "" : "other"}${number}.${which}`;
  if (!held.has(key)) {
    const made = run.pictures.folder ? fromFile(told)
      : createImageBitmap(new Blob([bytesOf(told)], { type: "image/webp" }));
    held.set(key, made);
    if (held.size > KEPT) held.delete(held.keys().next().value);
  }
  return held.get(key);
}

function pathOf(record, place, height) {
  record.paths ??= [];
  if (!record.paths[place]) {
    const path = new Path2D();
    for (const loop of outlines(record.rle[place], height)) {
      loop.forEach(([x, y], corner) => (corner ? path.lineTo(x, y) : path.moveTo(x, y)));
      path.closePath();
    }
    record.paths[place] = path;
  }
  return record.paths[place];
}

function strokeOutline(context, path, name, scale, { width = 2, fill = 0, dashed = false }) {
  if (fill) {
    context.globalAlpha = fill;
    context.fillStyle = colour[name];
    context.fill(path);
    context.globalAlpha = 1;
  }
  context.lineJoin = "round";
  context.setLineDash(dashed ? [5 / scale, 4 / scale] : []);
  context.strokeStyle = "rgb(0 0 0 / .55)";
  context.lineWidth = (width + 1.6) / scale;
  if (!dashed) context.stroke(path);
  context.strokeStyle = colour[name];
  context.lineWidth = width / scale;
  context.stroke(path);
}

// Outlines of one image of a run: what = {layers, cut, width}.
function drawOutlines(context, run, image, scale, what) {
  const { found, truth } = image, height = image.size[0], on = (layer) => what.layers.includes(layer);
  const line = { width: what.width };
  const isFound = (place) => truth.by[place] >= 0 && isAccepted(found, truth.by[place], what.cut);
  if (on("i")) {
    image.regions ??= { rle: image.crowd };
    image.crowd.forEach((_, place) => {
      strokeOutline(context, pathOf(image.regions, place, height), "ignored", scale, line);
    });
  }
  const draw = (record, place, name, more) => strokeOutline(
    context, pathOf(record, place, height), name, scale, { ...line, ...more },
  );
  truth.rle.forEach((_, place) => {
    if (on("n") && !isFound(place)) draw(truth, place, "fn", { fill: 0.25 });
  });
  const hasTruth = run.sets[image.set].judged;
  found.rle.forEach((_, place) => {
    if (!isAccepted(found, place, what.cut)) return;
    const is = found.is[place];
    const name = !hasTruth || is & TP ? "tp" : is & IGNORED ? "ignored" : "fp";
    const layer = { tp: "t", fp: "f", ignored: "i" }[name];
    if (on(layer)) draw(found, place, name, { fill: name === "fp" ? 0.25 : 0 });
  });
  truth.rle.forEach((_, place) => {
    if (on("g") && (isFound(place) || !on("n"))) draw(truth, place, "truth", { dashed: true, width: 1.5 });
  });
}

function drawPhoto(context, photo, map, [height, width]) {
  if (photo) context.drawImage(photo, 0, 0, width, height);
  else context.clearRect(0, 0, width, height);
  if (!map) return;
  context.fillStyle = "rgb(0 0 0 / .6)";
  context.fillRect(0, 0, width, height);
  const tinted = new OffscreenCanvas(map.width, map.height), inner = tinted.getContext("2d");
  inner.drawImage(map, 0, 0);
  inner.globalCompositeOperation = "multiply";
  inner.fillStyle = colour.probability;
  inner.fillRect(0, 0, map.width, map.height);
  context.globalCompositeOperation = "screen";
  context.drawImage(tinted, 0, 0, width, height);
  context.globalCompositeOperation = "source-over";
}

// -- gallery -------------------------------------------------------------------------------------

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) {
      inView.add(target);
      drawCard(target);
    } else inView.delete(target);
  }
}, { rootMargin: "200px" });
const end = new IntersectionObserver((entries) => {
  if (entries.some((entry) => entry.isIntersecting)) addCards();
}, { rootMargin: "600px" });

function cardOf(image) {
  if (!cards.has(image)) {
    const card = make("button", "", "thumb");
    card.type = "button";
    card.image = image;
    const canvas = make("canvas"), scale = Math.min(SIDE / Math.max(...image.size), 8);
    [canvas.height, canvas.width] = image.size.map((side) => Math.max(1, Math.round(2 * side * scale)));
    card.append(canvas, make("b"), make("span"));
    card.addEventListener("click", () => openImage(image));
    seen.observe(card);
    cards.set(image, card);
  }
  return cards.get(image);
}

async function drawCard(card) {
  const { image } = card, key = `${state.score} ${state.layers}`;
  tellCard(card);
  if (card.drawn === key) return;
  card.drawn = key;
  const map = state.layers.includes("p") ? pictureOf(RUN, image, 1) : null;
  const pictures = await Promise.all([pictureOf(RUN, image, 0), map]);
  if (card.drawn !== key) return;
  const canvas = card.querySelector("canvas"), context = canvas.getContext("2d");
  const scale = canvas.width / image.size[1];
  context.setTransform(scale, 0, 0, canvas.height / image.size[0], 0, 0);
  drawPhoto(context, ...pictures, image.size);
  const layers = state.layers.replace("g", "");
  drawOutlines(context, RUN, image, scale, { layers, cut: cut(), width: 3 });
}

function tellCard(card) {
  const { image } = card, counts = countsOf(image, cut()), change = compared?.change.get(image.name);
  const key = `${state.score} ${change?.change} ${state.sort}`;
  if (card.told === key) return;
  card.told = key;
  const [, name, told] = card.children;
  name.textContent = image.file;
  if (!judged(image)) {
    told.textContent = counted(counts.detections, "detection", "detections");
    return;
  }
  const parts = [`F1 ${digits(f1(counts))}`];
  if (change) parts.push(`${signed(change.change, "share")}`);
  if (!["f1_50", "name", "change", "changed"].includes(state.sort)) {
    const value = valueOf(RUN, image, state.sort, cut());
    if (value !== null) parts.push(`${WORDS[state.sort]} ${Number.isInteger(value) ? value : digits(value)}`);
  }
  const kinds = {};
  for (const { kind, of } of errorsOf(RUN, image, cut())) {
    const word = words(kind) || (of === "object" ? "lost" : "let in");
    kinds[word] = (kinds[word] ?? 0) + 1;
  }
  const errors = Object.entries(kinds).map(([kind, number]) => `${number} ${kind}`);
  told.textContent = `${parts.join(", ")}\n${errors.join(", ") || "no errors"}`;
}

function showGallery() {
  const choice = {
    ...state, least: state.least === "" ? null : Number(state.least),
    most: state.most === "" ? null : Number(state.most),
  };
  const before = order;
  order = chooseImages(RUN, choice, cut(), compared?.change);
  if (order.length !== before.length || order.some((image, place) => image !== before[place])) {
    byId("gallery").replaceChildren(...order.slice(0, STEP).map(cardOf));
  }
  for (const card of byId("gallery").children) tellCard(card);
  for (const card of inView) drawCard(card);
  const all = ofSet().length;
  const told = order.length === all ? counted(all, "image", "images")
    : `${order.length.toLocaleString("en")} of ${counted(all, "image", "images")}`;
  const counts = sumCounts(order.filter(judged), cut());
  const narrowed = order.length && order.length < all && order.some(judged);
  byId("shown").textContent = narrowed ? `${told}: F1 ${digits(f1(counts))}` : told;
}

function addCards() {
  const grid = byId("gallery"), from = grid.children.length;
  if (from < order.length) {
    const added = order.slice(from, from + STEP).map(cardOf);
    added.forEach(tellCard);
    grid.append(...added);
    end.unobserve(byId("more"));
    end.observe(byId("more")); // asks again where the end is still in view
  }
}

// -- counts --------------------------------------------------------------------------------------

function tellCounts(list, images, told) {
  const now = sumCounts(images, cut()), before = sumCounts(images, null);
  const rows = [["found", now.tp, before.tp], ["wrong", now.fp, before.fp], ["missed", now.fn, before.fn]];
  const share = (a, b) => (a + b ? a / (a + b) : null);
  rows.push(["precision", share(now.tp, now.fp), share(before.tp, before.fp), "share"]);
  rows.push(["recall", share(now.tp, now.fn), share(before.tp, before.fn), "share"]);
  rows.push(["F1", f1(now), f1(before), "share"]);
  const shown = told ? rows : [["detections", now.detections, before.detections]];
  list.replaceChildren(...shown.map(([name, value, was, kind = "count"]) => {
    const row = make("div"), number = make("dd");
    const text = value === null ? "\u2013" : kind === "share" ? digits(value) : value.toLocaleString("en");
    number.append(make("b", text));
    const moved = cut() !== null && value !== null && was !== null && value !== was;
    if (moved) number.append(make("span", signed(value - was, kind)));
    row.append(make("dt", name), number);
    return row;
  }));
}

function tellScore() {
  const images = ofSet().filter(judged);
  tellCounts(byId("set-counts"), images.length ? images : ofSet(), images.length > 0);
  const now = sumCounts(images, cut()), before = sumCounts(images, null);
  let told = "At the operating point. Move the score to see what another one costs.";
  if (cut() !== null && images.length) {
    const found = now.tp - before.tp, wrong = now.fp - before.fp;
    const more = (change) => (change < 0 ? "fewer" : "more");
    told = `Against the operating point ${counted(Math.abs(found), "object", "objects")} ${more(found)}`
      + ` found and ${counted(Math.abs(wrong), "wrong detection", "wrong detections")} ${more(wrong)}.`;
  }
  const low = RUN.sets.find((set) => set.from !== null && cut() !== null && cut() <= set.from);
  if (low) told += ` Below ${digits(low.from)} some detections of ${low.name} were not judged, being too many in an image.`;
  byId("cut-words").textContent = told;
  for (const [slider, output] of [["score", "score-told"], ["viewer-score", "viewer-told"]]) {
    const point = RUN.sets.find((set) => !state.set || set.name === state.set)?.point;
    byId(slider).value = cut() ?? point ?? meanPoint();
    byId(output).textContent = cut() === null ? pointWords() : digits(cut());
  }
  drawCurve(images);
}

function meanPoint() {
  const told = RUN.sets.map((set) => RUN.metrics[`${set.name}.operating_point`]);
  return told.find((value) => typeof value === "number") ?? 0.5;
}

function drawCurve(images) {
  const svg = byId("curve"), key = state.set;
  const [low, high] = [Number(byId("score").min), Number(byId("score").max)];
  const x = (score) => (300 * (score - low)) / (high - low);
  const element = (tag, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  if (svg.dataset.of !== key) {
    svg.dataset.of = key;
    const curve = scoreCurve(images), every = Math.max(1, Math.floor(curve.length / 200));
    const kept = curve.filter((_, place) => place % every === 0 || place === curve.length - 1);
    const lines = ["precision", "recall", "f1"].map((name) => element("polyline", {
      class: `line-${name}`,
      points: kept.map((one) => `${x(one.score).toFixed(1)},${(114 - 108 * one[name]).toFixed(1)}`).join(" "),
    }));
    svg.replaceChildren(element("line", { x1: 0, x2: 300, y1: 114, y2: 114, class: "axis" }), ...lines);
    svg.append(element("line", { y1: 0, y2: 120, class: "here" }));
  }
  const at = x(Number(byId("score").value));
  svg.lastChild.setAttribute("x1", at);
  svg.lastChild.setAttribute("x2", at);
}

// -- viewer --------------------------------------------------------------------------------------

function openImage(image) {
  Object.assign(look, { zoom: 1, x: 0.5, y: 0.5, chosen: null });
  setState({ image: image.name }, true);
}

function step(by) {
  const place = order.indexOf(shownImage());
  const next = order[(place + by + order.length) % order.length];
  if (next) openImage(next);
}

function panesOf(image) {
  const layers = state.layers, own = { run: RUN, image, layers, told: "" };
  if (state.view === "truth" && judged(image)) {
    const predicted = layers.replace("n", "").replace("g", "");
    return [{ ...own, layers: layers.includes("p") ? "gp" : "g", told: "Truth" },
            { ...own, layers: predicted, told: "Predicted" }];
  }
  const their = compared?.theirs.get(image.name);
  if (state.view === "other" && their) {
    return [{ ...own, told: "This run" }, { run: other, image: their, layers, told: "Other run" }];
  }
  return [own];
}

async function drawPane(figure, pane, image) {
  figure.hidden = !pane;
  if (!pane) return;
  const [canvas, caption] = figure.children;
  const counts = countsOf(pane.image, cut());
  const result = judged(image) && pane.told !== "Truth" ? `F1 ${digits(f1(counts))}` : "";
  caption.textContent = [pane.told, result].filter(Boolean).join(": ");
  canvas.setAttribute("aria-label", `${image.file} ${caption.textContent}`);
  const map = pane.layers.includes("p") ? pictureOf(pane.run, pane.image, 1) : null;
  const pictures = await Promise.all([pictureOf(RUN, image, 0), map]);
  if (state.image !== image.name) return;
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  const scale = ratio * scaleOf(canvas, image), context = canvas.getContext("2d");
  const [left, top] = [canvas.width / 2 - look.x * image.size[1] * scale,
                       canvas.height / 2 - look.y * image.size[0] * scale];
  context.setTransform(scale, 0, 0, scale, left, top);
  context.imageSmoothingEnabled = scale < 3;
  drawPhoto(context, ...pictures, image.size);
  const wide = Math.min(2.4 * ratio, Math.max(1.4 * ratio, scale / 2));
  drawOutlines(context, pane.run, pane.image, scale, { layers: pane.layers, cut: cut(), width: wide });
}

// CSS px to a px of the image.
function scaleOf(canvas, image) {
  const [height, width] = image.size;
  return look.zoom * Math.min(canvas.clientWidth / width, canvas.clientHeight / height);
}

function drawViewer() {
  const image = shownImage(), viewer = byId("viewer");
  if (!image) {
    if (viewer.open) viewer.close();
    if (state.image) complain(`There is no image ${state.image} in this run.`);
    return;
  }
  if (!viewer.open) viewer.showModal();
  byId("viewer-name").textContent = `${image.file}`;
  const panes = panesOf(image), figures = byId("panes").children;
  byId("panes").dataset.panes = panes.length;
  [...figures].forEach((figure, place) => drawPane(figure, panes[place], image));
  tellCounts(byId("image-counts"), [image], judged(image));
  tellErrors(image);
  tellFacts(image);
}

function tellErrors(image) {
  const errors = errorsOf(RUN, image, cut()), { found } = image;
  byId("why").textContent = !judged(image) ? "No truth to judge by"
    : errors.length ? counted(errors.length, "error", "errors") : "No errors";
  byId("errors").replaceChildren(...errors.map((error, place) => {
    const parts = [`${area(error.rle).toLocaleString("en")} px`];
    let kind = words(error.kind);
    if (error.of === "detection") {
      kind ||= "let in by this score";
      parts.push(`score ${digits(found.score[error.place])}`);
      if (found.iou[error.place]) parts.push(`IoU ${found.iou[error.place].toFixed(2)}`);
    } else if (kind !== "missed") kind = `missed: ${kind || "lost by this score"}`;
    const button = make("button", "", error.of === "detection" ? "fp" : "fn");
    button.type = "button";
    button.append(make("i"), make("b", kind), make("span", parts.join(", ")));
    button.addEventListener("click", () => lookAt(image, errors, place));
    button.setAttribute("aria-pressed", look.chosen === place);
    const item = make("li");
    item.append(button);
    return item;
  }));
}

function tellFacts(image) {
  const rows = [["set", RUN.sets[image.set].name], ["size", `${image.size[1]} x ${image.size[0]} px`]];
  if (image.group) rows.push(["group", image.group]);
  RUN.facts.forEach((name, place) => image.facts[place] && rows.push([name, image.facts[place]]));
  RUN.scores.forEach((name, place) => {
    if (name !== "f1_50" && image.scores[place] !== null) rows.push([WORDS[name], digits(image.scores[place])]);
  });
  const change = compared?.change.get(image.name);
  if (change) {
    rows.push(["F1 less the other's", signed(change.change, "share")]);
    rows.push(["found here alone", change.won], ["found there alone", change.lost]);
  }
  byId("facts").replaceChildren(...rows.flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
}

// Zoom to an error of an image, so that it fills a third of the picture.
function lookAt(image, errors, place) {
  if (!errors[place]) return;
  const [height, width] = image.size, spans = stretches(errors[place].rle, height);
  if (!spans.length) return;
  const columns = spans.map(([x]) => x), tops = spans.map((one) => one[1]);
  const [left, right] = [Math.min(...columns), Math.max(...columns) + 1];
  const [top, bottom] = [Math.min(...tops), Math.max(...spans.map((one) => one[2]))];
  const zoom = Math.min(width / (right - left), height / (bottom - top)) / 3;
  Object.assign(look, { x: (left + right) / 2 / width, y: (top + bottom) / 2 / height, chosen: place });
  look.zoom = Math.min(Math.max(zoom, 1), 12);
  drawViewer();
}

// Zoom by a factor about a place of a canvas, from its middle, in CSS px.
function zoomBy(factor, canvas, fromX = 0, fromY = 0) {
  const image = shownImage(), before = scaleOf(canvas, image);
  look.zoom = Math.min(Math.max(look.zoom * factor, 1), 40);
  const after = scaleOf(canvas, image);
  moveBy(fromX * (1 / before - 1 / after), fromY * (1 / before - 1 / after), image);
}

// Move what is shown by px of the image.
function moveBy(x, y, image = shownImage()) {
  const inside = (value) => Math.min(Math.max(value, 0), 1);
  look.x = look.zoom === 1 ? 0.5 : inside(look.x + x / image.size[1]);
  look.y = look.zoom === 1 ? 0.5 : inside(look.y + y / image.size[0]);
  drawViewer();
}

function handleCanvas(canvas) {
  const fingers = new Map();
  const from = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.x - box.width / 2, event.clientY - box.y - box.height / 2];
  };
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY / 400), canvas, ...from(event));
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, from(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    const was = fingers.get(event.pointerId);
    if (!was) return;
    const now = from(event), scale = scaleOf(canvas, shownImage());
    fingers.set(event.pointerId, now);
    if (fingers.size === 1) moveBy((was[0] - now[0]) / scale, (was[1] - now[1]) / scale);
    if (fingers.size === 2) {
      const [still] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      const apart = ([x, y]) => Math.hypot(x - still[0], y - still[1]);
      zoomBy(apart(now) / Math.max(apart(was), 1), canvas, (still[0] + now[0]) / 2, (still[1] + now[1]) / 2);
    }
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(kind, (event) => fingers.delete(event.pointerId));
  }
}

// -- another run ---------------------------------------------------------------------------------

async function readOther(file) {
  complain("");
  try {
    other = readOtherRun(await file.text());
    other.called = other.title === RUN.title ? `Other run, ${file.name}` : other.title;
  } catch (error) {
    other = null;
    complain(`${file.name} ${error.message}`);
  }
  const order = other ? { sort: "changed", falling: "1" } : { sort: PLAIN.sort, falling: "" };
  setState({ ...order, view: other ? "other" : "one", least: "", most: "" });
}

function tellOther() {
  compared = other && compareRuns(RUN, other, cut());
  byId("other").hidden = byId("forget").hidden = !other;
  for (const option of document.querySelectorAll("#sort [value^=change], #view [value=other]")) {
    option.hidden = option.disabled = !other;
  }
  if (!other) return;
  const { better, worse, alike, unlike, won, lost, common } = compared;
  let told = `Beside ${other.called}: of ${counted(common.own.length, "image", "images")} in common `
    + `${better} are better here, ${worse} worse, ${alike} alike in F1. ${counted(won, "object is", "objects are")} `
    + `found here alone, ${lost.toLocaleString("en")} there alone.`;
  if (unlike) told += ` ${counted(unlike, "image has", "images have")} another truth there and ${unlike === 1 ? "is" : "are"} left out.`;
  byId("other-words").textContent = told;
  byId("other-table").replaceChildren(...otherRows(common));
}

function otherRows({ own, their }) {
  const head = make("tr"), body = make("tbody");
  for (const text of ["", "this run", "other run", "difference"]) head.append(make("th", text, text && "number"));
  const row = (name, one, two, kind) => {
    if (typeof one !== "number" || typeof two !== "number") return;
    const made = make("tr"), told = (value) => (kind === "share" ? digits(value) : value.toLocaleString("en"));
    made.append(make("td", name));
    for (const text of [told(one), told(two), signed(one - two, kind)]) made.append(make("td", text, "number"));
    body.append(made);
  };
  const sets = RUN.sets.filter((set) => set.judged);
  const chosen = sets.filter((set) => set.name === state.set);
  for (const { name } of chosen.length ? chosen : sets) {
    row(`AP50 of ${name}`, RUN.metrics[`${name}.ap50`], other.metrics[`${name}.ap50`], "share");
    const of = (run, images) => sumCounts(images.filter((one) => run.sets[one.set].name === name), cut());
    const [here, there] = [of(RUN, own), of(other, their)];
    row(`F1 of ${name}`, f1(here), f1(there), "share");
    for (const key of ["tp", "fp", "fn"]) row(`${WORDS[key]} of ${name}`, here[key], there[key], "count");
  }
  const top = make("thead");
  top.append(head);
  return [top, body];
}

// -- state ---------------------------------------------------------------------------------------

function setState(changes, asVisit = false) {
  Object.assign(state, changes);
  const hash = writeHash(state, PLAIN);
  const address = hash ? `#${hash}` : location.pathname + location.search;
  if (`#${hash}` !== location.hash) history[asVisit ? "pushState" : "replaceState"](null, "", address);
  if (!asked) {
    asked = true;
    requestAnimationFrame(show);
  }
}

function show() {
  asked = false;
  for (const id of ["set", "kind", "group", "text", "sort", "falling", "least", "most", "view"]) {
    if (byId(id).value !== state[id]) byId(id).value = state[id];
  }
  for (const button of document.querySelectorAll("[data-layer]")) {
    button.setAttribute("aria-pressed", state.layers.includes(button.dataset.layer));
  }
  tellOther();
  tellScore();
  showGallery();
  drawViewer();
}

function readState() {
  if (location.hash && !location.hash.includes("=")) return; // a place on the page
  const told = readHash(location.hash, PLAIN);
  if (told.score !== undefined && !Number.isFinite(Number(told.score))) delete told.score;
  setState({ ...PLAIN, ...told });
}

function toggleLayer(layer) {
  const on = new Set(state.layers);
  if (!on.delete(layer)) on.add(layer);
  setState({ layers: [...LAYERS].filter((one) => on.has(one)).join("") });
}

function setScore(value) {
  const slider = byId("score");
  const inside = Math.min(Math.max(value, Number(slider.min)), Number(slider.max));
  setState({ score: String(Math.round(inside * 1000) / 1000) });
}

function nextView() {
  const views = ["one", "truth", ...(other ? ["other"] : [])];
  setState({ view: views[(views.indexOf(state.view) + 1) % views.length] });
}

function nextError() {
  const image = shownImage(), errors = errorsOf(RUN, image, cut());
  if (errors.length) lookAt(image, errors, ((look.chosen ?? -1) + 1) % errors.length);
}

const KEYS = {
  "?": () => (byId("help").open ? byId("help").close() : byId("help").showModal()),
  "[": () => setScore(Number(byId("score").value) - 0.01),
  "]": () => setScore(Number(byId("score").value) + 0.01),
  "\\": () => setState({ score: "" }),
  v: nextView,
};
[...LAYERS].forEach((layer, place) => { KEYS[place + 1] = () => toggleLayer(layer); });
const move = (x, y) => moveBy((x * shownImage().size[1]) / 8 / look.zoom, (y * shownImage().size[0]) / 8 / look.zoom);
const VIEWER_KEYS = {
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
  "+": () => zoomBy(1.25, viewerCanvas()),
  "=": () => zoomBy(1.25, viewerCanvas()),
  "-": () => zoomBy(0.8, viewerCanvas()),
  0: () => fit(),
  e: nextError,
};
const SHIFTED = {
  ArrowLeft: () => move(-1, 0), ArrowRight: () => move(1, 0),
  ArrowUp: () => move(0, -1), ArrowDown: () => move(0, 1),
};
const viewerCanvas = () => document.querySelector("#panes canvas");

function fit() {
  Object.assign(look, { zoom: 1, x: 0.5, y: 0.5, chosen: null });
  drawViewer();
}

// Arrows go from thumbnail to thumbnail, in the gallery's rows and columns.
function moveFocus(event) {
  const card = document.activeElement, grid = byId("gallery");
  if (card?.parentElement !== grid) return;
  const all = [...grid.children], place = all.indexOf(card);
  const row = all.findIndex((one) => one.offsetTop > all[0].offsetTop);
  const wide = row < 0 ? all.length : row;
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -wide, ArrowDown: wide }[event.key];
  if (!by || !all[place + by]) return;
  event.preventDefault();
  all[place + by].focus();
}

function handleKey(event) {
  const typing = event.target.matches("input:not([type=range]), select, textarea");
  const onSlider = event.target.matches("input[type=range]") && event.key.startsWith("Arrow");
  if (typing || onSlider || event.ctrlKey || event.metaKey || event.altKey) return;
  const viewing = byId("viewer").open && !byId("help").open;
  const of = viewing && event.shiftKey && SHIFTED[event.key] ? SHIFTED : viewing ? VIEWER_KEYS : {};
  const act = of[event.key] ?? (byId("help").open && event.key !== "?" ? null : KEYS[event.key]);
  if (act) {
    event.preventDefault();
    act();
  } else if (!viewing) moveFocus(event);
}

// -- beginning -----------------------------------------------------------------------------------

function fillSelect(id, options) {
  byId(id).replaceChildren(...options.map(([value, text]) => {
    const option = make("option", text);
    option.value = value;
    return option;
  }));
}

function fillChoices() {
  const names = RUN.sets.map((set) => set.name);
  fillSelect("set", [["", "all sets"], ...names.map((name) => [name, name])]);
  PLAIN.set = ["val", "oof", "test"].find((name) => names.includes(name)) ?? "";
  fillSelect("kind", [["", "any or none"], ...ERRORS.map((kind) => [kind, words(kind)])]);
  const sizes = new Map();
  for (const { group } of RUN.images) if (group) sizes.set(group, (sizes.get(group) ?? 0) + 1);
  const groups = [...sizes].filter(([, size]) => size > 1).sort(([one], [two]) => (one < two ? -1 : 1));
  fillSelect("group", [["", "any"], ...groups.map(([name, size]) => [name, `${name} (${size})`])]);
  document.querySelector(".of-group").hidden = !groups.length;
  const keys = [...RUN.scores, "errors", "fn", "fp", "tp", "objects", "detections", "changed", "change", "name"];
  fillSelect("sort", keys.map((key) => [key, WORDS[key] ?? words(key)]));
  const scores = RUN.images.flatMap((image) => image.found.score);
  const [low, high] = scores.reduce(([a, b], score) => [Math.min(a, score), Math.max(b, score)], [0, 1]);
  for (const id of ["score", "viewer-score"]) {
    byId(id).min = Math.floor(low * 1000) / 1000;
    byId(id).max = Math.ceil(high * 1000) / 1000;
  }
}

function listen() {
  for (const id of ["set", "kind", "group", "sort", "falling", "view"]) {
    byId(id).addEventListener("change", () => setState({ [id]: byId(id).value }));
  }
  for (const id of ["text", "least", "most"]) {
    byId(id).addEventListener("input", () => setState({ [id]: byId(id).value }));
  }
  for (const id of ["score", "viewer-score"]) {
    byId(id).addEventListener("input", () => setScore(Number(byId(id).value)));
  }
  for (const button of document.querySelectorAll(".point")) {
    button.addEventListener("click", () => setState({ score: "" }));
  }
  for (const button of document.querySelectorAll("[data-layer]")) {
    button.addEventListener("click", () => toggleLayer(button.dataset.layer));
  }
  const click = (id, act) => byId(id).addEventListener("click", act);
  click("reset", () => setState({ set: "", kind: "", group: "", text: "", least: "", most: "" }));
  click("previous", () => step(-1));
  click("next", () => step(1));
  click("close", () => byId("viewer").close());
  click("zoom-in", VIEWER_KEYS["+"]);
  click("zoom-out", VIEWER_KEYS["-"]);
  click("fit", fit);
  click("help-close", () => byId("help").close());
  click("forget", () => { other = null; setState({ sort: PLAIN.sort, falling: "", view: "one" }); });
  document.querySelectorAll(".help-key").forEach((one) => one.addEventListener("click", KEYS["?"]));
  byId("viewer").addEventListener("close", () => {
    const card = cards.get(shownImage());
    if (state.image) setState({ image: "" });
    card?.focus();
  });
  byId("choice").addEventListener("submit", (event) => event.preventDefault());
  byId("other-file").addEventListener("change", ({ target }) => {
    if (target.files.length) readOther(target.files[0]);
    target.value = "";
  });
  document.querySelectorAll("#panes canvas").forEach(handleCanvas);
  document.addEventListener("keydown", handleKey);
  window.addEventListener("hashchange", readState);
  window.addEventListener("popstate", readState);
  window.addEventListener("resize", () => setState({}));
  end.observe(byId("more"));
}

if (RUN.images.length) {
  byId("explorer").hidden = false;
  fillChoices();
  listen();
  readState();
  if (!asked) setState({ set: PLAIN.set });
}
