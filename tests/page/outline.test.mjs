// The tree of a run and the axis, as the scripts of the page make them; run by `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";

const from = (name) => import(new URL(`../../src/remit/collector/page/static/${name}`, import.meta.url));
const { Outline, Scale } = await from("outline.js");

const id = (number) => String(number).padStart(40, "0");

/** A slice of steps: name, parent, start, took, status. */
function slice(steps, { first = 0, status = "complete", kinds = {} } = {}) {
  const names = [...new Set(steps.map(([name]) => name))];
  const outside = [];
  let before = 0;
  return {
    now: 1e9, cursor: "1-1", next: null,
    run: { status, start: 0, end: 1e6, seen: 1e6, spans: first + steps.length },
    ids: steps.map((_, at) => id(first + at)).join(""),
    parents: steps.map(([, parent]) => {
      if (parent === null) return -1;
      if (parent >= first && parent < first + steps.length) return parent - first;
      if (!outside.includes(id(parent))) outside.push(id(parent));
      return -2 - outside.indexOf(id(parent));
    }),
    outside,
    types: names.map((name) => [name, kinds[name] ?? "step"]),
    type: steps.map(([name]) => names.indexOf(name)),
    status: steps.map(([, , , , state = 2]) => state).join(""),
    flags: steps.map(([, , , , , flags = 0]) => flags),
    start: steps.map(([, , start]) => {
      if (start === null) return null;
      const since = start - before;
      before = start;
      return since;
    }),
    took: steps.map(([, , , took]) => took),
    labels: {}, calls: {},
  };
}

function outlineOf(steps, options) {
  const outline = new Outline();
  outline.add(slice(steps, options));
  outline.build(1e9);
  return outline;
}

const named = (outline, { codes, levels }) => codes.map((code, at) =>
  "  ".repeat(levels[at]) + (code >= 0 ? outline.name(code) : `${outline.groups[-code - 2].members.length} ×`));

test("steps are in the order of their starts below their parents, in whatever slices they came", () => {
  const steps = [["run", null, 0, 100], ["b", 0, 50, 10], ["a", 0, 10, 30], ["c", 2, 12, 5], ["late", 0, null, null, 4]];
  const whole = outlineOf(steps);
  assert.deepEqual(named(whole, whole.rows("")), ["run", "  a", "    c", "  b", "  late"]);

  const parts = new Outline();
  // The children come before their parent is known.
  parts.add(slice(steps.slice(2), { first: 2 }));
  parts.add(slice(steps.slice(0, 2)));
  parts.build(1e9);
  assert.deepEqual(named(parts, parts.rows("")), named(whole, whole.rows("")));
});

test("an id is found as the API writes it", () => {
  const outline = new Outline();
  const made = slice([["a", null, 0, 1], ["b", 0, 0, 1]]);
  made.ids = "0000000000000000000000000000000000000000" + "01d0a1c0ffee1234567890abcdef0123456789ab";
  outline.add(made);
  assert.equal(outline.full(0), "0".repeat(32));
  assert.equal(outline.full(1), "078a3g7zxr938nkrj2nwvvr14d2pf2db");
  assert.equal(outline.find(outline.full(1)), 1);
  assert.equal(outline.find(""), undefined);
  assert.equal(outline.find("u".repeat(32)), undefined);
});

test("a circle, and a parent that nobody knows, are at the top", () => {
  const outline = outlineOf([["a", 1, 0, 1], ["b", 0, 1, 1], ["c", 9, 2, 1]]);
  assert.deepEqual(named(outline, outline.rows("")), ["c", "a", "  b"]);
});

test("many siblings of a type are one row, calls of a model from ten on", () => {
  const steps = [["run", null, 0, 1000]];
  for (let at = 0; at < 60; at++) steps.push(["search", 0, at, 1, at === 7 ? 3 : 2, at < 5 ? 1024 : 0]);
  for (let at = 0; at < 10; at++) steps.push(["chat", 0, 100 + at, 1]);
  for (let at = 0; at < 10; at++) steps.push(["few", 0, 200 + at, 1]);
  const outline = outlineOf(steps, { kinds: { chat: "call" } });
  assert.deepEqual(named(outline, outline.rows("")).slice(0, 4), ["run", "  60 ×", "  10 ×", "  few"]);
  const group = outline.rows("").codes[1];
  assert.deepEqual(outline.around(outline.members(group)), [0, 60]);
  outline.toggle(group);
  assert.equal(outline.rows("").codes.length, 3 + 60 + 10);
  outline.toggle(group);
  outline.reveal(8);
  assert.ok(outline.rows("").codes.includes(8));
});

test("of a long run the levels below the third are closed, and a step opens what is above it", () => {
  const steps = [["run", null, 0, 9e6]];
  for (let at = 0; at < 40; at++) {
    steps.push(["top", 0, at * 1000, 900]);
    const top = steps.length - 1;
    for (let below = 0; below < 49; below++) steps.push(["mid", below ? steps.length - 1 : top, at * 1000 + below, 1]);
  }
  const outline = outlineOf(steps);
  assert.equal(outline.count, 2001);
  assert.equal(outline.rows("").codes.length, 81);
  outline.reveal(20);
  assert.ok(outline.rows("").codes.includes(20));
  const opened = outline.rows("").codes.length;
  outline.level(1);
  assert.ok(outline.rows("").codes.length > 81);
  assert.ok(opened > 81);
});

test("what has changed takes the place of what was, and folds stay", () => {
  const outline = outlineOf([["run", null, 0, null, 0], ["a", 0, 5, null, 0], ["b", 1, 6, 1]], { status: "active" });
  outline.toggle(1);
  outline.add(slice([["a", 0, 5, 20, 3], ["b", 1, 6, 1], ["c", 0, 40, 2]], { first: 1, status: "active" }));
  outline.build(1e9);
  assert.equal(outline.count, 4);
  assert.equal(outline.end(1), 25);
  assert.deepEqual(named(outline, outline.rows("")), ["run", "  a", "  c"]);
  assert.ok(outline.isOrigin(1));
});

test("failures are counted where they began, and found in the order of the rows", () => {
  const outline = outlineOf([["run", null, 0, 9, 3], ["a", 0, 1, 5, 3], ["b", 1, 2, 2, 3], ["c", 0, 7, 1, 2], ["d", 3, 7, 1, 3]]);
  assert.equal(outline.total("failed"), 4);
  assert.equal(outline.total("origins"), 2);
  assert.equal(outline.nextWith("origins", -1, 1), 2);
  assert.equal(outline.nextWith("origins", 2, 1), 4);
  assert.equal(outline.nextWith("origins", 4, 1), 2);
  assert.ok(outline.isHandled(4));
  assert.ok(outline.isPath(2));
  assert.ok(!outline.isPath(4));
  assert.deepEqual(named(outline, outline.rows("failed")), ["run", "  a", "    b", "  c", "    d"]);
});

test("an axis makes gaps narrow, and tells the time of a place", () => {
  const outline = outlineOf([["run", null, 0, 1000], ["a", 0, 0, 100], ["b", 0, 900, 100]]);
  assert.deepEqual(outline.gaps(), [[100, 900]]);
  const scale = new Scale(outline.whole(), outline.gaps());
  assert.equal(scale.x(0), 0);
  assert.ok(Math.abs(scale.x(1000) - 1) < 1e-9);
  assert.ok(Math.abs(scale.x(100) - 0.49) < 1e-9);
  assert.ok(Math.abs(scale.x(900) - 0.51) < 1e-9);
  assert.ok(Math.abs(scale.time(scale.x(950)) - 950) < 1);
  assert.deepEqual([...outline.activity(scale, 2).began], [2, 1]);
});

test("a step has the name that its integration gave it, and groups have one name", () => {
  const steps = [["agent", null, 0, 100], ...Array.from({ length: 120 }, (_, at) => ["chain", 0, at + 1, 1])];
  const named_ = slice(steps);
  for (let at = 1; at <= 120; at++) named_.names = { ...named_.names, [at]: [at <= 60 ? "plan" : "act", "node"] };
  const outline = new Outline();
  outline.add(named_);
  outline.build(1e9);
  assert.deepEqual([outline.name(0), outline.word(0)], ["agent", ""]);
  assert.deepEqual([outline.name(1), outline.word(1)], ["plan", "node"]);
  assert.deepEqual(outline.groups.map(({ members }) => outline.name(members[0])), ["plan", "act"]);
});

/** A run whose agent asked before a refund: run, agent, chat, question, answer, refund, then more steps. */
function askedOf(more = [], questions = [[id(3), id(4), "refund", "approved", "approved"]]) {
  const steps = [["run", null, 0, 100], ["agent", 0, 0, 100], ["chat", 1, 1, 5], ["remit:asked", 1, 10, 0],
    ["remit:answered", 1, 80, 0], ["refund", 1, 81, 5], ...more];
  const outline = new Outline();
  outline.add({ ...slice(steps), questions });
  outline.build(1e9);
  return outline;
}

test("an answer has no row: the row of its question lasts until it", () => {
  const outline = askedOf();
  assert.deepEqual(named(outline, outline.rows("")), ["run", "  agent", "    chat", "    remit:asked", "    refund"]);
  assert.equal(outline.until(3), 80);
  assert.equal(outline.kids[1], 3);
  outline.found([id(4)]);
  assert.deepEqual([...outline.hits], [3]);
});

test("the steps around a question wait with it, unless another step runs", () => {
  assert.deepEqual([...askedOf().pauses.keys()].sort(), [0, 1, 3]);
  const beside = askedOf([["other", 0, 20, 30]]);
  assert.deepEqual([...beside.pauses.keys()].sort(), [1, 3]);
  const ofApprover = askedOf([["poll", 3, 20, 30]]);
  assert.deepEqual([...ofApprover.pauses.keys()].sort(), [0, 1, 3]);
});

test("a question without an answer lasts until the last sign of its run", () => {
  const outline = askedOf([], [[id(3), null, "refund", "no answer", "cancelled"]]);
  assert.equal(outline.until(3), 1e6);
  assert.equal(outline.rows("").codes.length, 6);
});
