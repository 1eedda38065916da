// The waterfall of a run: rows in view, the panel, find, keys, and what changes while it is open.

import { duration, number } from "./formats.js";
import { ACTIVE, CANCELLED, FAILED, MANY, MARKS, Outline, PENDING, Scale } from "./outline.js";
import { isPlain, parsed, poll, SIGNED_OUT } from "./page.js";

const WITH_STRIP = 200;
const SLICES = 120;
const DEEPEST = 16;
const LIVE_MS = 2000;
const TOLD_MS = 10000;
/** A step may be written this long after the time that it is written with. */
const LATE_US = 10e6;
const NOT_SHOWN = "this step cannot be shown now";
const NO_ANSWER = "the server does not respond";
const TROUBLES = [SIGNED_OUT, NOT_SHOWN, NO_ANSWER];

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children. */
const make = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
const draw = (name, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);
const fill = (element, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};
/** Give an element an attribute, or take it away. */
const set = (element, name, value) => {
  if (value === null) element.removeAttribute(name);
  else element.setAttribute(name, value);
};
const icon = (name) =>
  draw("svg", { class: "i", viewBox: "0 0 12 12", "aria-hidden": "true" }, draw("use", { href: `#${name}` }));
/** A picture as wide and as high as the room for it. */
function stretched(attributes, ...children) {
  return draw("svg", { preserveAspectRatio: "none", "aria-hidden": "true", ...attributes }, ...children);
}
const percent = (share) => `${(share * 100).toFixed(3)}%`;

const tree = document.getElementById("tree");
/** The marks in their order, each with its words for one and for several. */
const WORDS = { failed: ["failed", "failed"], ...JSON.parse(tree.dataset.marks),
  hits: ["hit of the search", "hits of the search"] };
const panel = document.getElementById("panel");
const tools = document.querySelector(".tools");
const run = tree.dataset.run;
const hasEnded = "ended" in tree.dataset;
const outline = new Outline();
const query = new URLSearchParams(location.search);

const state = { selected: -1, only: "", q: "", axis: "", folded: false, cursor: null, now: 0, seen: 0 };
/** The row that the keys have selected, if it is not that of the chosen step. */
let cursor = null;
let rows = { codes: [], levels: [] };
let scale = new Scale([0, 1]);
let gaps = [];
let zoom = 1;
let stamp = 0;

// ---- the frame: head, space for all rows, ruler ----

const head = tree.querySelector(".axis");
const ticks = head.querySelector(".ticks");
const view = make("div", { class: "view", role: "presentation" });
const space = make("div", { class: "space", role: "presentation" }, view);
const here = draw("rect", { class: "here", x: 0, width: 18 });
const ruler = stretched({ class: "ruler", viewBox: "0 0 18 1000" }, here);
const said = make("p", { class: "small said", role: "status" });
const announced = make("p", { class: "hide", role: "status" });

const strip = make("figure", { class: "strip", hidden: "" });
const find = make("input", { type: "search", size: 10, placeholder: "in this run", maxlength: 200 });
const show = choice("Show", { "": "all steps", failed: "failed", marked: "marked" });
const axis = choice("Axis", { run: "whole run", rows: "rows in view" });
const idle = make("button", { type: "button", class: "quiet-button", hidden: "" });
const hits = stepper("hit", "n", () => go("hits", -1), () => go("hits", 1));
const failures = stepper("failed step", "e", () => go("origins", -1), () => go("origins", 1));
const steps = stepper("step", "j", () => move(-1), () => move(1));

function choice(label, options) {
  const select = make("select", {}, ...Object.entries(options).map(([value, text]) => make("option", { value }, text)));
  return { label: make("label", {}, `${label} `, select), select };
}

/** Two buttons around a place in a list. */
function stepper(what, key, back, on) {
  const text = make("span", { class: "small" });
  const button = (sign, label, act) => {
    const made = make("button", { type: "button", class: "button", "aria-label": label, title: label }, sign);
    made.addEventListener("click", act);
    return made;
  };
  const box = make("span", { class: "step", hidden: "" },
    button("‹", `previous ${what}`, back), text, button("›", `next ${what} (${key})`, on));
  return { box, say: (words) => { box.hidden = !words; text.textContent = words; } };
}

function furnish() {
  tree.classList.add("live");
  head.ariaRowIndex = 1;
  tree.tabIndex = 0;
  tree.replaceChildren(head, space, ruler);
  tools.replaceChildren(make("label", {}, "Find ", find), hits.box, show.label, axis.label, make("span", { class: "end ends" }, idle, failures.box, steps.box));
  tools.before(strip);
  tree.after(said, announced);
  panel.tabIndex = -1;
}

// ---- what is shown ----

const rowHeight = () => (matchMedia("(max-width: 700px)").matches ? 32 : 24);
const now = () => state.now + (performance.now() - state.seen) * 1000;
const axisIs = () => state.axis || (outline.size > MANY ? "rows" : "run");

/** Lay out all rows again: another tree, another choice of rows. */
function layOut() {
  rows = outline.rows(state.only);
  set(tree, "aria-rowcount", rows.codes.length + 1);
  space.style.height = `${rows.codes.length * rowHeight()}px`;
  gaps = axisIs() === "run" ? outline.gaps() : [];
  stamp++;
  paint();
  survey();
}

let shown = [];
let firstShown = 0;

/** Draw the rows in view. */
function paint() {
  const height = rowHeight();
  const first = Math.max(0, Math.floor(tree.scrollTop / height) - 2);
  const size = Math.max(0, Math.min(rows.codes.length - first, Math.ceil(tree.clientHeight / height) + 4));
  while (shown.length < size) shown.push(blank());
  while (shown.length > size) shown.pop().row.remove();
  const by = first - firstShown;
  if (by > 0 && by < size) shown.push(...shown.splice(0, by));
  if (by < 0 && -by < size) shown.unshift(...shown.splice(size + by));
  firstShown = first;
  view.style.transform = `translateY(${first * height}px)`;
  const fresh = axisScale(first, first + size);
  if (fresh.from !== scale.from || fresh.to !== scale.to || fresh.gaps.length !== scale.gaps.length) {
    scale = fresh;
    stamp++;
    ticks.replaceChildren(...[0, 0.25, 0.5, 0.75].map((at) => make("span", {}, shortly(scale.time(at)))));
  }
  shown.forEach((slot, at) => {
    // In the order of the rows, so that it is read in it.
    if (view.children[at] !== slot.row) view.insertBefore(slot.row, view.children[at] ?? null);
    drawRow(slot, first + at);
  });
  point();
  const share = (at) => (1000 * outline.at[outline.members(rows.codes[at])[0]]) / outline.count;
  if (!size) return;
  here.setAttribute("y", share(first));
  here.setAttribute("height", Math.max(4, share(first + size - 1) - share(first)));
}

const shortly = (time) => (time < 1 ? "0 s" : duration(Math.round(time)));

function axisScale(first, last) {
  if (axisIs() === "rows") return new Scale(zoomed(outline.fit(rows, first, last)));
  const [from, to] = outline.whole();
  // After its last sign a process that ended has a time of which nothing is known.
  if (hasEnded) return new Scale(zoomed([from, from + (to - from) * 1.2]));
  return new Scale(zoomed([from, to]), state.folded && zoom === 1 ? gaps : []);
}

/** A part of an axis around the step that is chosen. */
function zoomed([from, to]) {
  if (zoom === 1) return [from, to];
  const middle = state.selected < 0 ? from : outline.start[state.selected] || from;
  const half = (to - from) / zoom / 2;
  const begin = Math.max(from, Math.min(middle - half, to - 2 * half));
  return [begin, begin + 2 * half];
}

function blank() {
  const name = make("a", { tabindex: -1 });
  const marks = make("span", { role: "gridcell" });
  const bars = draw("svg", { "aria-hidden": "true" });
  const took = make("span", { role: "gridcell" });
  const row = make("div", { role: "row" }, make("span", { role: "gridcell", class: "name" }, name), marks,
    make("span", { role: "gridcell", class: "time" }, bars), took);
  view.append(row);
  return { row, name, marks, bars, took, code: null, at: -1, stamp: -1 };
}

function drawRow(slot, at) {
  const code = rows.codes[at];
  if (slot.code === code && slot.stamp === stamp && slot.at === at) return;
  const isSame = slot.code === code && slot.at === at && slot.words === words;
  Object.assign(slot, { code, at, stamp, words });
  slot.bars.replaceChildren(...bands(scale, 24), ...(code >= 0 ? bar(code) : barsOf(code)));
  if (isSame) return;
  const { row } = slot;
  const isGroup = code < 0;
  const level = rows.levels[at];
  row.id = `row-${at}`;
  row.className = `row l${Math.min(level, DEEPEST)} ${isGroup ? "" : classOf(code)}`;
  set(row, "aria-level", level + 1);
  set(row, "aria-rowindex", at + 2);
  const isFolding = folds(code);
  const opened = isFolding && (state.only !== "" || outline.isOpen(code));
  set(row, "aria-expanded", isFolding ? String(opened) : null);
  set(row, "aria-selected", code === focused() ? "true" : null);
  slot.name.replaceChildren(
    ...(isFolding ? [make("span", { class: "fold", "aria-hidden": "true" }, opened ? "–" : "+")] : []),
    ...(level > DEEPEST ? [make("i", { class: "deep" }, String(level + 1))] : []),
    ...(isGroup ? groupName(code) : stepName(code, isFolding && !opened)));
  set(slot.name, "href", isGroup ? null : address(code));
  slot.marks.replaceChildren(...(isGroup ? groupMarks(code) : stepMarks(code, isFolding && !opened)));
  slot.took.textContent = isGroup ? tookOf(outline.members(code)) : took(code);
}
let words = 0;

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
const isDenied = (step) => (outline.flags[step] & MARKS.denied) !== 0;

/** Whether a later process closed a step, because its own had ended: it ended with the run. */
const wasOpen = (step) => hasEnded && outline.status[step] === FAILED
  && outline.end(step) === outline.end(outline.byStart[0]);

const tookOf = (steps) => duration(sum(steps.map((step) => outline.took[step] || 0)));

function took(step) {
  if (isDenied(step)) return "did not run";
  if (wasOpen(step)) return "not known";
  if (outline.questions.has(step)) return waited(step);
  if (outline.status[step] === PENDING) return "";
  if (outline.status[step] === ACTIVE && outline.isActive) {
    return duration(Math.round(outline.end(step) - outline.start[step]));
  }
  return duration(outline.took[step]);
}

/** How long a question waited for its answer, or has. */
function waited(step) {
  const isKnown = outline.isActive || outline.questions.get(step).answer !== undefined;
  return isKnown ? duration(Math.round(outline.until(step) - outline.start[step])) : "";
}

function classOf(step) {
  if (outline.questions.has(step)) return "asked";
  const status = outline.status[step];
  if (status === FAILED) return (outline.isPath(step) ? "path " : "") + (outline.isOrigin(step) ? "first" : "");
  if (isDenied(step)) return "first";
  return status === CANCELLED || status === PENDING ? "off" : "";
}

function stepName(step, isClosed) {
  const status = outline.status[step];
  const name = outline.name(step);
  const question = outline.questions.get(step);
  const label = question ? [question.subject] : [];
  if (outline.isHandled(step) && !isDenied(step)) label.push("handled");
  else if (status === CANCELLED) label.push(outline.isSuspended(step) ? "suspended" : "cancelled");
  else if (status === PENDING) label.push("not started");
  else if (status === ACTIVE) label.push(outline.isActive ? "running" : "never ended");
  const call = outline.calls.get(step);
  if (call) {
    if (call[0]) label.push(call[0]);
    if (call[1] !== null) label.push(`${number(call[1])} tokens`);
  }
  const below = outline.after[step] - outline.at[step] - 1;
  if (isClosed) label.push(`${number(below)} ${below === 1 ? "step" : "steps"}`);
  else if (!label.length && outline.labels.has(step)) label.push(outline.labels.get(step));
  const shape = isDenied(step) ? "denied" : outline.isOrigin(step) ? "failed" : outline.isSuspended(step) ? "suspended" : question?.shape ?? null;
  const word = isDenied(step) ? "denied: " : status === FAILED ? "failed: " : question ? `${question.word}: ` : null;
  return [
    shape && icon(shape),
    word && make("span", { class: "hide" }, word),
    outline.hits.has(step) ? make("mark", {}, name) : name,
    outline.word(step) && make("i", {}, outline.word(step)),
    label.length && make("i", {}, label.join(" · ")),
  ].filter(Boolean);
}

function groupName(code) {
  const steps = outline.members(code);
  const tokens = steps.map((step) => outline.calls.get(step)?.[1] ?? null);
  // Unless it is known of all, a sum would be wrong.
  return [`${outline.name(steps[0])} × ${number(steps.length)}`,
    ...(tokens.includes(null) ? [] : [make("i", {}, `${number(sum(tokens))} tokens`)])];
}

/** A mark: shape, the number only above 1, words for screen readers. */
function mark(name, count) {
  const words = WORDS[name][count === 1 ? 0 : 1];
  const said = `${number(count)} ${words}`;
  const drawn = name === "redacted" || name === "hits" ? "" : icon(name === "held" ? "hold" : name);
  const isShown = count > 1 || name === "hits";
  return make("span", { class: `m ${name}`, title: said }, drawn,
    isShown ? number(count) : "", make("span", { class: "hide" }, isShown ? ` ${words}` : said));
}

/** Serious marks count for all steps below a closed one; the others only for itself. */
function stepMarks(step, isClosed) {
  const count = {};
  for (const [name, bits] of Object.entries(MARKS)) count[name] = outline.flags[step] & bits ? 1 : 0;
  count.held = outline.tests.held(step) ? 1 : 0;
  if (isClosed) {
    for (const name of ["denied", "violation", "lost", "hits", "held"]) count[name] = outline.sum(name, step);
    count.denied -= count.held;
    count.hits -= outline.hits.has(step) ? 1 : 0;
    count.failed = outline.sum("origins", step) - (outline.isOrigin(step) ? 1 : 0);
  } else count.denied = 0;
  return marksOf(count);
}

function groupMarks(code) {
  const below = (name) => sum(outline.members(code).map((step) => outline.sum(name, step)));
  const count = { failed: below("origins") };
  for (const name of [...Object.keys(MARKS), "hits", "held"]) count[name] = below(name);
  count.denied -= count.held;
  return marksOf(count);
}

const marksOf = (count) =>
  Object.keys(WORDS).filter((name) => count[name]).map((name) => mark(name, count[name]));

// ---- bars ----

const rect = (kind, from, to, hasBelow) =>
  draw("rect", { class: `b ${kind}`, x: percent(from), width: percent(Math.max(to - from, 0.003)),
    y: hasBelow ? 10 : 7, height: hasBelow ? 4 : 10 });

const bands = (axis, height) =>
  axis.gaps.map(([from, to]) => draw("rect",
    { class: "gapband", x: percent(axis.x(from)), width: percent(axis.x(to) - axis.x(from)), y: 0, height }));

function kindOf(step) {
  const status = outline.status[step];
  if (isDenied(step)) return "hatred";
  if (wasOpen(step)) return "";
  if (step === outline.byStart[0] && outline.facts.status === "terminated") return "warn";
  if (status === FAILED) return "bad";
  if (status === CANCELLED) return outline.kids[step] ? "" : "off";
  if (status === ACTIVE && outline.isActive) return "now";
  return outline.flags[step] & MARKS.violation ? "warn" : "";
}

/** The line of a question, and a diamond at each of its ends; around it, the line alone. */
function lineOf(question, isOwn) {
  const { answer, shape } = outline.questions.get(question);
  const [from, to] = [outline.start[question], outline.until(question)];
  const x = (time) => percent(inside(time));
  const diamond = (time, name) => time < scale.from || time > scale.to ? [] : [draw("use", {
    class: "dia", href: `#${name}`, x: x(time), width: 10, height: 10, transform: "translate(-5 7)" })];
  if (to < scale.from || from > scale.to) return [];
  const line = draw("line", { class: ["approved", "refused"].includes(shape) ? "q1" : "q1 wait", x1: x(from), x2: x(to), y1: 12, y2: 12 });
  return [line, ...(isOwn ? diamond(from, "waiting") : []), ...(isOwn && answer !== undefined ? diamond(to, shape) : [])];
}

const inside = (time) => scale.x(Math.min(scale.to, Math.max(scale.from, time)));

/** The bar of a step, interrupted where nothing happened. */
function bar(step) {
  const pauses = outline.pauses.get(step) ?? [];
  const lines = pauses.flatMap((question) => lineOf(question, question === step));
  if (outline.questions.has(step)) return lines;
  const [from, to] = outline.around([step]);
  if (to < scale.from || from > scale.to) return [];
  const kind = kindOf(step);
  const hasBelow = outline.kids[step] > 0;
  const parts = [];
  let begin = from;
  const cuts = [...scale.gaps, ...pauses.map((each) => [outline.start[each], outline.until(each)])];
  for (const [idleFrom, idleTo] of cuts.sort((a, b) => a[0] - b[0])) {
    if (begin <= idleFrom && to >= idleTo) {
      parts.push([begin, idleFrom]);
      begin = idleTo;
    }
  }
  parts.push([begin, to]);
  const bars = parts.filter(([began, ended]) => ended > began || !pauses.length).map(([began, ended]) => rect(kind, inside(began), inside(ended), hasBelow));
  // After the last sign of it nothing is known.
  if (wasOpen(step) || (outline.status[step] === ACTIVE && !outline.isActive && !isDenied(step))) bars.push(rect("hat", inside(to), 1, false));
  return [...bars, ...lines];
}

/** The bars of a group, apart from each other; one that would touch the one before is left out. */
function barsOf(code) {
  const parts = { "": [], bad: [] };
  const ends = { "": -1, bad: -1 };
  for (const step of outline.members(code)) {
    const [from, to] = outline.around([step]);
    if (to < scale.from || from > scale.to) continue;
    const kind = outline.status[step] === FAILED ? "bad" : "";
    const x = Math.max(0, Math.round(scale.x(from) * 1000));
    const width = Math.max(2, Math.min(1000, Math.round(scale.x(to) * 1000)) - x);
    if (x <= ends[kind]) continue;
    ends[kind] = x + width;
    parts[kind].push(`M${x} 7h${width}v10h-${width}z`);
  }
  return [stretched({ viewBox: "0 0 1000 24" },
    ...Object.entries(parts).map(([kind, path]) => draw("path", { class: `b ${kind}`, d: path.join("") })))];
}

// ---- strip, ruler, words above the tree ----

/** Draw what shows all steps: the strip, the ruler, the numbers. */
function survey() {
  const isMany = outline.size >= WITH_STRIP;
  strip.hidden = !isMany;
  tree.classList.toggle("ruled", isMany);
  axis.label.hidden = !isMany;
  document.getElementById("legend").hidden = !isMany;
  axis.select.value = axisIs();
  show.select.value = state.only;
  const nothing = sum(gaps.map(([from, to]) => to - from));
  idle.hidden = nothing === 0;
  const words = `${duration(Math.round(nothing))} of idle time`;
  idle.textContent = state.folded ? `${words} folded: unfold` : `fold ${words}?`;
  if (isMany) {
    drawStrip();
    ruler.replaceChildren(here, lane("hits", "ha", 0), lane("redacted", "hk", 6), lane("origins", "down", 12));
  }
  say();
}

function lane(name, kind, x) {
  const path = [];
  let last = -1;
  for (let at = 0; at < outline.count; at++) {
    const y = Math.floor((at * 998) / outline.count);
    if (y === last || !outline.tests[name](outline.order[at])) continue;
    last = y;
    path.push(`M${x} ${y}h5v2h-5z`);
  }
  return draw("path", { class: kind, d: path.join("") });
}

function drawStrip() {
  const whole = new Scale(outline.whole(), state.folded ? outline.gaps() : []);
  const { began, failed } = outline.activity(whole, SLICES);
  const most = Math.max(1, ...began);
  const width = 1000 / SLICES;
  const up = [];
  const down = [];
  began.forEach((count, at) => {
    const x = (at * width).toFixed(1);
    const height = (count / most) * 40;
    if (count) up.push(`M${x} 44v-${height.toFixed(1)}h${(width - 1.9).toFixed(1)}v${height.toFixed(1)}z`);
    if (failed[at]) down.push(`M${x} 46v9h6v-9z`);
  });
  const plot = stretched({ viewBox: "0 0 1000 58" },
    draw("path", { class: "act", d: up.join("") }), draw("path", { class: "down", d: down.join("") }),
    draw("path", { class: "zero", d: "M0 44.5H1000", "vector-effect": "non-scaling-stroke" }));
  const over = draw("svg", { class: "over", "aria-hidden": "true" }, ...bands(whole, 58));
  const unloaded = outline.count < outline.facts.spans ? ` ${number(outline.count)} of ${number(outline.facts.spans)} steps so far.` : "";
  strip.replaceChildren(
    make("figcaption", { class: "small soft" }, `Steps by start time in ${duration(Math.round(whole.to - whole.from))}, at most ${number(most)} per slice.${down.length ? " Failed steps are below the line." : ""}${unloaded}`, idle),
    make("div", { class: "plot" }, plot, over));
}

/** Where the chosen step is among those with a mark; if it has none, how many there are. */
function place(mark, one, many) {
  const total = outline.total(mark);
  if (!total) return "";
  if (state.selected < 0 || !outline.tests[mark](state.selected)) return `${number(total)} ${total === 1 ? one : many}`;
  return `${one} ${number(outline.sums[mark][outline.at[state.selected] + 1])} of ${number(total)}`;
}

/** Say where the chosen step is in the lists. */
function say() {
  if (!outline.count) return;
  const at = state.selected < 0 ? 0 : outline.at[state.selected] + 1;
  steps.say(`${number(at)} of ${number(outline.size)}`);
  failures.say(place("origins", "failed", "failed"));
  hits.say(state.q && (place("hits", "hit", "hits") || "no hit"));
}

// ---- choosing ----

/** The parameters of the address but the step, made once: each row that is drawn has an address. */
let others = null;

function parameters() {
  const made = new URLSearchParams(location.search);
  made.delete("span");
  for (const name of ["axis", "only", "q"]) {
    if (state[name]) made.set(name, state[name]);
    else made.delete(name);
  }
  return String(made);
}

function address(step = state.selected) {
  others ??= parameters();
  const all = [others, step < 0 ? "" : `span=${outline.full(step)}`].filter(Boolean).join("&");
  return `/runs/${run}${all && `?${all}`}`;
}

const remember = () => {
  others = null;
  history.replaceState(history.state, "", address());
};

/** Point to the chosen row for screen readers. */
function point() {
  const slot = shown.find(({ code }) => code === focused());
  set(tree, "aria-activedescendant", slot ? slot.row.id : null);
}

/** Choose a step: its row, the address, the panel. */
function choose(step, { isFirst = false, scroll = true } = {}) {
  if (step < 0 || step === undefined) return;
  step = outline.answers.get(step) ?? step;
  cursor = null;
  const isNew = step !== state.selected;
  state.selected = step;
  if (state.only && !outline.sum(state.only, step)) {
    state.only = "";
    others = null;
  }
  if (!rows.codes.includes(step)) {
    // What the server has chosen opens nothing: many siblings would hide the rest.
    if (isFirst && !query.has("span")) cursor = nearest(step);
    else {
      outline.reveal(step);
      refold();
    }
  }
  if (scroll) bring(current(), isFirst);
  select();
  const id = outline.full(step);
  if (isNew && id !== panel.dataset.span) openPanel(step);
  if (!isFirst) remember();
  // What the head offers to copy and to print is about the chosen step.
  for (const [selector, path] of [["[data-copy=link]", address()], ["#copy-text", `/runs/${run}/spans/${id}/text`]]) {
    document.querySelector(`.acts ${selector}`)?.setAttribute("href", path);
  }
}

/** The row in which a step is folded. */
function nearest(step) {
  for (let at = step; at >= 0; at = outline.up[at]) {
    const group = -outline.groupOf[at] - 2;
    for (const code of [at, group]) if (rows.codes.includes(code)) return code;
  }
  return null;
}

function select() {
  for (const slot of shown) {
    set(slot.row, "aria-selected", slot.code === focused() ? "true" : null);
  }
  point();
  say();
}

/** Scroll so far that a row is in view; when the page opens, only the tree is scrolled. */
function bring(at, isFirst) {
  const height = rowHeight();
  // The window can end above the end of the tree.
  const seen = Math.max(innerHeight - tree.getBoundingClientRect().top, tree.clientHeight / 3);
  const room = Math.min(tree.clientHeight, seen) - head.offsetHeight;
  const y = at * height;
  if (y < tree.scrollTop) tree.scrollTop = Math.max(0, y - height);
  else if (y + height > tree.scrollTop + room) tree.scrollTop = y - Math.max(height, room - 3 * height);
  paint();
  if (!isFirst) shown.find(({ code }) => code === rows.codes[at])?.row.scrollIntoView({ block: "nearest" });
}

let asked = null;

async function openPanel(step) {
  asked?.abort();
  asked = new AbortController();
  try {
    const answer = await get(`/runs/${run}/spans/${outline.full(step)}/part`, asked.signal);
    if (answer.ok) {
      panel.replaceChildren(...parsed(await answer.text()).body.childNodes);
      panel.dataset.span = outline.full(step);
    }
    else if (answer.status !== 401) tell(NOT_SHOWN);
  } catch (error) {
    if (error.name !== "AbortError") tell(NO_ANSWER);
  }
}

async function get(path, signal) {
  const answer = await fetch(path, { signal });
  if (answer.status === 401) tell(SIGNED_OUT);
  else if (answer.ok && TROUBLES.includes(said.textContent)) tell("");
  return answer;
}

const tell = (text) => {
  if (said.textContent !== text) said.textContent = text;
};

/** Other rows are shown, or their words have changed; the chosen step stays. */
function refold() {
  words++;
  layOut();
}

/** Open or close a row, which stays where it is. */
function fold(code) {
  outline.toggle(code);
  refold();
}

/** The row that the keys have selected, and its place. */
const focused = () => cursor ?? state.selected;
const current = () => rows.codes.indexOf(focused());

/** Go to another row. */
function move(by) {
  goTo(Math.max(0, Math.min(rows.codes.length - 1, current() + by)));
}

function goTo(at) {
  const code = rows.codes[at];
  if (code === undefined) return;
  if (code >= 0) return choose(code);
  cursor = code;
  bring(at);
  select();
}

function go(mark, direction) {
  if (outline.total(mark)) choose(outline.nextWith(mark, state.selected, direction));
}

// ---- keys ----

const page = () => Math.max(1, Math.floor(tree.clientHeight / rowHeight()) - 2);

/** Whether something is below a row. */
const folds = (code) => code < -1 || outline.kids[code] > 0;

function inward() {
  if (!folds(focused())) return;
  if (outline.isOpen(focused())) move(1);
  else fold(focused());
}

function outward() {
  if (folds(focused()) && outline.isOpen(focused())) fold(focused());
  else parent();
}

function parent() {
  const at = current();
  for (let above = at - 1; above >= 0; above--) if (rows.levels[above] < rows.levels[at]) return goTo(above);
}

function level(by) {
  outline.level(by);
  refold();
  // The step above that is still shown, so that something is chosen.
  let step = state.selected;
  while (step >= 0 && !rows.codes.includes(step)) step = outline.up[step];
  choose(step);
}

function turnAxis() {
  state.axis = axisIs() === "rows" ? "run" : "rows";
  remember();
  layOut();
}

function zoomBy(factor) {
  zoom = Math.max(1, Math.min(4096, zoom * factor));
  layOut();
}

const KEYS = {
  ArrowDown: () => move(1), j: () => move(1), ArrowUp: () => move(-1), k: () => move(-1),
  ArrowRight: inward, ArrowLeft: outward, "shift ArrowRight": () => level(1), "shift ArrowLeft": () => level(-1),
  Home: () => goTo(0), End: () => goTo(rows.codes.length - 1),
  PageDown: () => move(page()), PageUp: () => move(-page()),
  e: () => go("origins", 1), E: () => go("origins", -1), m: () => go("marked", 1), M: () => go("marked", -1),
  n: () => go("hits", 1), N: () => go("hits", -1), p: parent, z: turnAxis, "+": () => zoomBy(2), "-": () => zoomBy(0.5),
  Enter: () => (cursor === null ? panel.focus() : fold(cursor)),
  " ": () => folds(focused()) && fold(focused()),
  c: () => navigator.clipboard?.writeText(new URL(address(), location).href).then(() => tell("link copied")),
};

function listen() {
  tree.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = KEYS[event.shiftKey && event.key.startsWith("Arrow") ? `shift ${event.key}` : event.key];
    if (!act || !outline.count) return;
    event.preventDefault();
    act();
  });
  for (const element of [panel, tools]) {
    element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      // The search field would be emptied, and the hits with it.
      event.preventDefault();
      tree.focus();
    });
  }
  tree.addEventListener("click", (event) => {
    const slot = shown.find(({ row }) => row.contains(event.target));
    if (!slot || !isPlain(event)) return;
    event.preventDefault();
    tree.focus({ preventScroll: true });
    if (slot.code < 0 || event.target.closest(".fold")) fold(slot.code);
    else choose(slot.code, { scroll: false });
  });
  ruler.addEventListener("click", (event) => {
    const box = ruler.getBoundingClientRect();
    const at = Math.floor(((event.clientY - box.top) / box.height) * outline.count);
    choose(outline.order[Math.max(0, Math.min(outline.count - 1, at))]);
  });
  panel.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    if (!link || !isPlain(event)) return;
    const to = new URL(link.href);
    const step = to.pathname === `/runs/${run}` ? outline.find(to.searchParams.get("span") ?? "") : undefined;
    if (step === undefined) return;
    event.preventDefault();
    choose(step);
  });
  tree.addEventListener("scroll", paint);
  new ResizeObserver(() => outline.count && layOut()).observe(tree);
  show.select.addEventListener("change", () => {
    state.only = show.select.value;
    remember();
    refold();
    if (state.selected >= 0) bring(Math.max(0, rows.codes.indexOf(state.selected)));
  });
  axis.select.addEventListener("change", turnAxis);
  idle.addEventListener("click", () => {
    state.folded = !state.folded;
    layOut();
  });
  // Enter after a change of the text is a change, too.
  find.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && find.value.trim() === state.q) go("hits", event.shiftKey ? -1 : 1);
  });
  find.addEventListener("change", () => search(find.value.trim()));
}

// ---- find ----

/** Look for a text in all steps, and go to the first that has it. */
async function search(text, { move = true } = {}) {
  state.q = text;
  remember();
  const found = [];
  let hidden = [];
  for (let after = ""; text && after !== null; ) {
    const asks = new URLSearchParams({ q: text, ...(after && { after }) });
    const answer = await get(`/runs/${run}/find?${asks}`);
    if (state.q !== text || !answer.ok) return;
    const part = await answer.json();
    found.push(...part.ids);
    hidden = part.hidden;
    after = found.length < 1000 ? part.next : null;
  }
  outline.found(found);
  refold();
  const unsearched = hidden.length ? `; hidden values of ${hidden.join(", ")} were not searched` : "";
  tell(text && (unsearched || found.length >= 1000) ? `${number(found.length)} hits${unsearched}` : "");
  if (move && found.length && !outline.hits.has(state.selected)) go("hits", 1);
}

// ---- loading, and what changes ----

/** Read slices and add them; `each` is called after each slice. */
async function load(path, each) {
  let coming = get(path);
  while (coming !== null) {
    const answer = await coming;
    if (!answer.ok) throw new Error(String(answer.status));
    const slice = await answer.json();
    // The next one is made while this one is added.
    const next = `${path}${path.includes("?") ? "&" : "?"}after=${slice.next}`;
    coming = slice.next === null ? null : get(next);
    outline.add(slice);
    Object.assign(state, { now: slice.now, seen: performance.now() });
    each(slice);
  }
}

function start() {
  // A select that is given another value has none.
  show.select.value = query.get("only") ?? "";
  axis.select.value = query.get("axis") ?? "";
  Object.assign(state, { only: show.select.value, axis: axis.select.value });
  find.value = query.get("q") ?? "";
}

async function begin() {
  furnish();
  start();
  listen();
  let slices = 0;
  try {
    await load(`/runs/${run}/outline`, (slice) => {
      state.cursor ??= slice.cursor;
      // The tree is made of the first slice, so that there is something to see, and of all of them.
      if (slices++ && slice.next !== null) return tell(`${number(outline.count)} of ${number(slice.run.spans)} steps`);
      tell("");
      outline.build(now());
      refold();
      if (slices === 1) performance.mark("first-rows");
    });
  } catch {
    tell(`${number(outline.count)} of ${number(outline.facts?.spans ?? 0)} steps loaded: reload the page`);
  }
  if (!outline.count) return;
  performance.mark("all-rows");
  const asked = query.get("span") ?? panel.dataset.span ?? "";
  const wanted = outline.find(asked);
  choose(wanted ?? outline.order[0], { isFirst: true });
  if (find.value) await search(find.value.trim(), { move: !query.has("span") });
  if (outline.isActive) poll(look, LIVE_MS);
}

let toldAt = 0;

/** Ask what has changed, until the run has ended. */
async function look() {
  const answer = await get(`/live?run=${run}&since=${state.cursor}`);
  if (answer.status === 401) return "";
  if (!answer.ok) throw new Error(String(answer.status));
  if (answer.status === 200) await merge(await answer.json());
  else grow();
  return outline.isActive ? "live" : null;
}

/** Active steps last longer. */
function grow() {
  outline.lastSign = now() - outline.base;
  outline.extent = null;
  words++;
  stamp++;
  paint();
}

/** Add what has changed; what is chosen, scrolled to and folded stays. */
async function merge(change) {
  const before = outline.count;
  const { status, waits } = outline.facts;
  const chosen = state.selected < 0 ? null : outline.status[state.selected];
  await load(`/runs/${run}/outline?changed=${Math.max(0, state.now - LATE_US)}`, () => {});
  state.cursor = change.cursor;
  outline.build(now());
  refold();
  if (chosen !== null && outline.status[state.selected] !== chosen) openPanel(state.selected);
  const fresh = outline.count - before;
  if (fresh && performance.now() - toldAt > TOLD_MS) {
    toldAt = performance.now();
    announced.textContent = `${number(fresh)} new steps`;
  }
  if (status !== outline.facts.status || waits !== outline.facts.waits) {
    announced.textContent = `the run is ${outline.facts.waits ? "waiting" : outline.facts.status}`;
    await renew();
  }
}

/** Show what the server says now of the run as a whole. */
async function renew() {
  const answer = await get(address());
  if (!answer.ok) return;
  const about = parsed(await answer.text()).getElementById("about");
  document.getElementById("about").replaceWith(about);
}

begin();
