// What the explorer counts, sorts, filters and compares. Nothing here touches the page.
//
// A detection's outcome, found once by falling score, holds at every score that detections are
// accepted from. The cut null is the operating point, where oof images have that of their fold.

const FORMAT = 1;
const TP = 1, IGNORED = 2, ACCEPTED = 4;

// Run lengths of COCO: numbers in groups of 5 bits, lowest first; from the fourth on each is the
// difference to the last but one.
function runLengths(text) {
  const runs = [];
  for (let place = 0; place < text.length;) {
    let value = 0, shift = 0, more = true;
    while (more) {
      const code = text.charCodeAt(place++) - 48;
      value |= (code & 31) << shift;
      shift += 5;
      more = (code & 32) > 0;
      if (!more && code & 16 && shift < 32) value |= -1 << shift;
    }
    runs.push(runs.length > 2 ? value + runs[runs.length - 2] : value);
  }
  return runs;
}

// Stretches [column, top, bottom) of an object's pixels.
function stretches(text, height) {
  const found = [];
  let at = 0;
  runLengths(text).forEach((run, place) => {
    for (let left = place % 2 ? run : 0, from = at; left > 0;) {
      const top = from % height, length = Math.min(left, height - top);
      found.push([(from - top) / height, top, top + length]);
      from += length;
      left -= length;
    }
    at += run;
  });
  return found;
}

// Edges between pixels inside and outside, from corner to corner, the inside on one hand.
function edges(spans) {
  const columns = new Map();
  for (const [x, top, bottom] of spans) {
    if (!columns.has(x)) columns.set(x, []);
    columns.get(x).push([top, bottom]);
  }
  const next = new Map();
  const add = (x, y, u, v) => {
    const key = `${x},${y}`;
    if (!next.has(key)) next.set(key, []);
    next.get(key).push([u, v]);
  };
  for (const [x, own] of columns) {
    for (const [top, bottom] of own) {
      add(x, top, x + 1, top);
      add(x + 1, bottom, x, bottom);
    }
    for (const [top, bottom] of without(own, columns.get(x - 1) ?? [])) add(x, bottom, x, top);
    for (const [top, bottom] of without(own, columns.get(x + 1) ?? [])) {
      add(x + 1, top, x + 1, bottom);
    }
  }
  return next;
}

// Parts of ascending intervals that others do not cover, each at full length.
function without(intervals, others) {
  const left = [];
  for (const [low, high] of intervals) {
    let from = low;
    for (const [start, end] of others) {
      if (end <= from || start >= high) continue;
      if (start > from) left.push([from, start]);
      from = Math.max(from, end);
    }
    if (from < high) left.push([from, high]);
  }
  return left;
}

// Closed outlines of an object along its pixels, each a list of corners [x, y].
function outlines(text, height) {
  const next = edges(stretches(text, height)), loops = [];
  for (const [key, ends] of next) {
    while (ends.length) {
      const start = key.split(",").map(Number), loop = [start];
      let [x, y] = ends.pop();
      while (x !== start[0] || y !== start[1]) {
        loop.push([x, y]);
        [x, y] = next.get(`${x},${y}`).pop();
      }
      loops.push(loop);
    }
  }
  return loops;
}

function area(text) {
  return runLengths(text).reduce((sum, run, place) => sum + (place % 2 ? run : 0), 0);
}

function isAccepted(found, place, cut) {
  return cut === null ? (found.is[place] & ACCEPTED) > 0 : found.score[place] >= cut;
}

function countsOf(image, cut) {
  const found = image.found;
  let tp = 0, fp = 0, detections = 0;
  for (let place = 0; place < found.is.length; place += 1) {
    if (!isAccepted(found, place, cut)) continue;
    detections += 1;
    if (found.is[place] & TP) tp += 1;
    else if (!(found.is[place] & IGNORED)) fp += 1;
  }
  return { tp, fp, fn: image.truth.rle.length - tp, detections };
}

function f1({ tp, fp, fn }) {
  return tp + fp + fn ? (2 * tp) / (2 * tp + fp + fn) : 1;
}

function sumCounts(images, cut) {
  const sum = { tp: 0, fp: 0, fn: 0, detections: 0 };
  for (const image of images) {
    const counts = countsOf(image, cut);
    for (const key of Object.keys(sum)) sum[key] += counts[key];
  }
  return sum;
}

// Precision, recall and F1 of a set from each score on, by falling score.
function scoreCurve(images) {
  const rows = [];
  let objects = 0;
  for (const { found, truth } of images) {
    objects += truth.rle.length;
    found.score.forEach((score, place) => {
      if (!(found.is[place] & IGNORED)) rows.push([score, found.is[place] & TP]);
    });
  }
  rows.sort((one, other) => other[0] - one[0]);
  let tp = 0, fp = 0;
  return rows.map(([score, right]) => {
    if (right) tp += 1;
    else fp += 1;
    return { score, precision: tp / (tp + fp), recall: tp / Math.max(objects, 1),
             f1: f1({ tp, fp, fn: objects - tp }) };
  });
}

// Errors of an image at a cut: objects that are not found, and detections that are wrong. `kind`
// is that of the operating point, "" for what is an error only here.
function errorsOf(run, image, cut) {
  const { found, truth } = image, errors = [];
  const kindOf = (place) => (place < 0 ? "" : run.kinds[place]);
  truth.rle.forEach((rle, place) => {
    const by = truth.by[place];
    if (by >= 0 && isAccepted(found, by, cut)) return;
    const kind = kindOf(truth.kind[place]);
    errors.push({ of: "object", place, rle, kind: kind === "found" ? "" : kind });
  });
  if (!run.sets[image.set].judged) return errors;
  found.rle.forEach((rle, place) => {
    if (!isAccepted(found, place, cut) || found.is[place] & (TP | IGNORED)) return;
    errors.push({ of: "detection", place, rle, kind: kindOf(found.kind[place]) });
  });
  return errors;
}

function kindsOf(run, image) {
  if (!image.kindCounts) {
    image.kindCounts = {};
    for (const { kind } of errorsOf(run, image, null)) {
      image.kindCounts[kind] = (image.kindCounts[kind] ?? 0) + 1;
    }
  }
  return image.kindCounts;
}

// The number that an image is sorted and filtered by; null if it has none.
function valueOf(run, image, key, cut, change) {
  const place = run.scores.indexOf(key);
  const judged = run.sets[image.set].judged;
  if (key !== "f1_50" && place >= 0) return image.scores[place];
  const difference = change?.get(image.name)?.change ?? null;
  if (key === "change") return difference;
  if (key === "changed") return difference === null ? null : Math.abs(difference);
  const counts = countsOf(image, cut);
  if (key === "detections") return counts.detections;
  if (!judged) return null;
  if (key === "objects") return image.truth.rle.length;
  if (key === "errors") return counts.fp + counts.fn;
  return key === "f1_50" ? f1(counts) : counts[key];
}

// The images of a choice {set, text, group, kind, least, most, sort, falling}, in its order.
function chooseImages(run, choice, cut, change) {
  const words = choice.text.toLowerCase();
  const shown = [];
  for (const image of run.images) {
    if (choice.set && run.sets[image.set].name !== choice.set) continue;
    if (choice.group && image.group !== choice.group) continue;
    if (choice.kind && !kindsOf(run, image)[choice.kind]) continue;
    const told = [image.name, image.file, image.group, ...image.facts];
    if (words && !told.some((text) => text.toLowerCase().includes(words))) continue;
    const value = choice.sort === "name" ? null : valueOf(run, image, choice.sort, cut, change);
    if (choice.least !== null && !(value !== null && value >= choice.least)) continue;
    if (choice.most !== null && !(value !== null && value <= choice.most)) continue;
    shown.push({ image, value });
  }
  const sign = choice.falling ? -1 : 1;
  const byName = (one, other) => (one.image.name < other.image.name ? -1 : 1);
  shown.sort((one, other) => {
    if (choice.sort === "name") return sign * byName(one, other);
    if ((one.value === null) !== (other.value === null)) return one.value === null ? 1 : -1;
    return sign * (one.value - other.value) || byName(one, other);
  });
  return shown.map(({ image }) => image);
}

// What another run's page says of the images that both have, by name.
function compareRuns(run, other, cut) {
  const theirs = new Map(other.images.map((image) => [image.name, image]));
  const change = new Map(), sum = { better: 0, worse: 0, alike: 0, unlike: 0, won: 0, lost: 0 };
  const common = { own: [], their: [] };
  for (const image of run.images) {
    const their = theirs.get(image.name);
    if (!their || !run.sets[image.set].judged || !other.sets[their.set].judged) continue;
    if (their.truth.rle.join() !== image.truth.rle.join()) {
      sum.unlike += 1;
      continue;
    }
    const difference = f1(countsOf(image, cut)) - f1(countsOf(their, cut));
    const of = foundByOne(image, their, cut);
    change.set(image.name, { change: difference, ...of });
    sum[difference > 0 ? "better" : difference < 0 ? "worse" : "alike"] += 1;
    sum.won += of.won;
    sum.lost += of.lost;
    common.own.push(image);
    common.their.push(their);
  }
  return { theirs, change, common, ...sum };
}

function foundByOne(image, their, cut) {
  const has = (one, place) => one.truth.by[place] >= 0
    && isAccepted(one.found, one.truth.by[place], cut);
  let won = 0, lost = 0;
  image.truth.by.forEach((_, place) => {
    won += has(image, place) && !has(their, place);
    lost += !has(image, place) && has(their, place);
  });
  return { won, lost };
}

// The document inside the text of a page of another run. Throws a sentence if there is none.
function readOtherRun(text) {
  const page = new DOMParser().parseFromString(text, "text/html");
  const read = (id) => page.getElementById(id)?.textContent;
  if (!read("run-data")) throw new Error("is no page of a run: it holds no images to explore");
  const run = JSON.parse(read("run-data"));
  if (run.format !== FORMAT) {
    throw new Error(`is of another version (format ${run.format}, this page reads ${FORMAT})`);
  }
  run.pictures = JSON.parse(read("run-pictures"));
  return run;
}

// The part of an address behind #, as a state; keys that are not known are left out.
function readHash(hash, known) {
  const state = {};
  if (!hash.includes("=")) return state;
  for (const [key, value] of new URLSearchParams(hash.slice(1))) if (key in known) state[key] = value;
  return state;
}

function writeHash(state, plain) {
  const told = new URLSearchParams();
  for (const key of Object.keys(plain)) {
    if (state[key] !== plain[key] && state[key] !== null) told.set(key, state[key]);
  }
  return told.toString().replaceAll("%2F", "/");
}
