// The steps of a run as a tree, made from the columns of /runs/{id}/outline. Nothing here draws.

export const ACTIVE = 0;
export const CANCELLED = 1;
export const COMPLETE = 2;
export const FAILED = 3;
export const PENDING = 4;
/** The marks of a step, in bits of its flags. */
export const MARKS = { denied: 512, violation: 2048, lost: 4096, redacted: 1024, invalid: 80, undeclared: 256 };
const MARKED = MARKS.denied | MARKS.violation | MARKS.lost | MARKS.invalid;
/** From this number of steps on, the levels below the third are closed and the axis fits the rows in view. */
export const MANY = 2000;
const GROUP = 50;
const GROUP_OF_CALLS = 10;
const OPEN_LEVELS = 2;
const GAP = 0.05;
const GAP_WIDTH = 0.02;
const NONE = -1;
const ID_DIGITS = 40;
const LETTERS = "0123456789abcdefghjkmnpqrstvwxyz";

/** The columns of all steps; a step is a number, the place at which it arrived. */
export class Outline {
  constructor() {
    this.count = 0;
    this.ids = [];
    this.types = [];
    this.names = new Map();
    this.labels = new Map();
    this.calls = new Map();
    this.hits = new Set();
    this.held = new Set();
    this.asked = [];
    this.opened = new Map();
    this.sums = {};
    this.places = new Map();
    this.waiting = new Map();
    this.typePlaces = new Map();
    this.reserve(0);
  }

  /** Make room for `size` steps. */
  reserve(size) {
    const grown = (kind, old) => {
      const made = new kind(size);
      made.set(old ?? []);
      return made;
    };
    this.parent = grown(Int32Array, this.parent);
    this.type = grown(Uint16Array, this.type);
    this.status = grown(Uint8Array, this.status);
    this.flags = grown(Uint16Array, this.flags);
    this.start = grown(Float64Array, this.start);
    this.took = grown(Float64Array, this.took);
  }

  /** The id as the API has it: five digits are four letters. */
  full(step) {
    return this.ids[step].replace(/.{5}/g, (digits) => {
      const number = parseInt(digits, 16);
      return [15, 10, 5, 0].map((bits) => LETTERS[(number >> bits) & 31]).join("");
    });
  }

  /** Whether the run can go on. */
  get isActive() {
    return this.facts.status === "active" || this.facts.status === "pending";
  }

  /** How many steps the run has, also before all have come. */
  get size() {
    return Math.max(this.count, this.facts.spans);
  }

  /** The step of an id as the API has it, else undefined. */
  find(id) {
    return this.places.get(id.replace(/.{4}/g, (letters) => {
      const number = [...letters].reduce((sum, letter) => sum * 32 + LETTERS.indexOf(letter), 0);
      return number.toString(16).padStart(5, "0");
    }));
  }

  /** Add the steps of a slice, or what is new about known ones. Call build() afterwards. */
  add(slice) {
    this.facts = slice.run;
    const size = slice.status.length;
    if (this.count + size > this.parent.length) {
      this.reserve(Math.max(slice.run.spans, this.count + size, Math.floor(this.count * 1.5)));
    }
    const types = slice.types.map(([name, kind]) => this.typeOf(name, kind));
    const steps = new Int32Array(size);
    for (let at = 0; at < size; at++) {
      const id = slice.ids.slice(at * ID_DIGITS, (at + 1) * ID_DIGITS);
      steps[at] = this.places.get(id) ?? this.enter(id);
    }
    let began = 0;
    for (let at = 0; at < size; at++) {
      const step = steps[at];
      const parent = slice.parents[at];
      if (parent >= 0) this.parent[step] = steps[parent];
      else if (parent < NONE) this.adopt(step, slice.outside[-parent - 2]);
      this.type[step] = types[slice.type[at]];
      this.status[step] = slice.status.charCodeAt(at) - 48;
      this.flags[step] = slice.flags[at];
      if (slice.start[at] === null) this.start[step] = NaN;
      else {
        began += slice.start[at];
        this.base ??= slice.run.start ?? began;
        this.start[step] = began - this.base;
      }
      this.took[step] = slice.took[at] ?? NaN;
    }
    this.asked = slice.questions ?? [];
    this.held = new Set(slice.held?.map((id) => this.places.get(id)));
    for (const at in slice.names) this.names.set(steps[at], slice.names[at]);
    for (const at in slice.labels) this.labels.set(steps[at], slice.labels[at]);
    for (const at in slice.calls) this.calls.set(steps[at], slice.calls[at]);
  }

  typeOf(name, kind) {
    let place = this.typePlaces.get(name);
    if (place === undefined) {
      place = this.types.push({ name, isCall: kind === "call", isRoot: kind === "root", isAsked: kind === "asked" }) - 1;
      this.typePlaces.set(name, place);
    }
    return place;
  }

  enter(id) {
    const step = this.count++;
    this.ids.push(id);
    this.places.set(id, step);
    this.parent[step] = NONE;
    for (const child of this.waiting.get(id) ?? []) this.parent[child] = step;
    this.waiting.delete(id);
    return step;
  }

  adopt(step, id) {
    const parent = this.places.get(id);
    if (parent !== undefined) this.parent[step] = parent;
    else if (this.waiting.has(id)) this.waiting.get(id).push(step);
    else this.waiting.set(id, [step]);
  }

  /** The name that an integration gave a step, else that of its type. */
  name(step) {
    return this.names.get(step)?.[0] ?? this.types[this.type[step]].name;
  }

  /** What a step with a name is, such as a node. */
  word(step) {
    return this.names.get(step)?.[1] ?? "";
  }

  /** When a step ended; one that is still active has lasted until `now`. */
  end(step) {
    if (!Number.isNaN(this.took[step])) return this.start[step] + this.took[step];
    return this.status[step] === ACTIVE ? Math.max(this.lastSign, this.start[step]) : this.start[step];
  }

  /** Make the tree: order, depth, subtrees, groups and sums. `now` is the time of active steps. */
  build(now) {
    const { count, parent } = this;
    this.lastSign = (this.isActive ? now : (this.facts.end ?? this.facts.seen)) - this.base;
    this.extent = null;
    this.byStart = this.sorted();
    this.join();
    const first = new Int32Array(count + 1).fill(NONE);
    const next = new Int32Array(count).fill(NONE);
    for (let at = count - 1; at >= 0; at--) {
      const step = this.byStart[at];
      // For a step without a parent, the one above is the last place, which is not a step.
      const above = parent[step] === NONE ? count : parent[step];
      next[step] = first[above];
      first[above] = step;
    }
    Object.assign(this, { first, next });
    this.walk();
    this.gather();
    this.add_up();
    this.pause();
  }

  /** Join questions to their answers; an answer has no row, as the row of its question shows it. */
  join() {
    this.questions = new Map();
    this.answers = new Map();
    for (const [id, answerId, subject, word, shape] of this.asked) {
      const step = this.places.get(id);
      const answer = this.places.get(answerId);
      if (step === undefined || Number.isNaN(this.start[step])) continue;
      this.questions.set(step, { answer, subject, word, shape });
      if (answer !== undefined) this.answers.set(answer, step);
    }
  }

  /** When the wait for the answer to a question ended; without an answer, when the run did. */
  until(step) {
    const { answer } = this.questions.get(step);
    return Math.max(this.start[step], answer === undefined ? this.lastSign : this.start[answer]);
  }

  /** Note for each step the questions during which no other step below it ran. */
  pause() {
    this.pauses = new Map();
    const isOfPerson = (step) => this.questions.has(step) || this.answers.has(step);
    for (const question of this.questions.keys()) {
      const from = this.start[question];
      const to = this.until(question);
      const busy = this.byStart.filter((step) => !this.kids[step] && !isOfPerson(step)
        && this.start[step] < to && this.end(step) > from && !this.isBelow(step, question));
      for (let step = question; step !== NONE; step = this.up[step]) {
        if (step !== question && (this.end(step) < to || busy.some((other) => this.isBelow(other, step)))) continue;
        this.pauses.set(step, [...(this.pauses.get(step) ?? []), question]);
      }
    }
  }

  /** Whether a step is below another one. */
  isBelow(step, above) {
    return this.at[step] > this.at[above] && this.at[step] < this.after[above];
  }

  /** All steps in the order of `remit runs show`: the root, then by start, the pending ones last. */
  sorted() {
    const key = new Float64Array(this.count);
    for (let step = 0; step < this.count; step++) {
      const isPending = Number.isNaN(this.start[step]);
      const { isRoot } = this.types[this.type[step]];
      key[step] = (isPending ? 4e15 : this.start[step]) - (isRoot ? 1e16 : 0);
    }
    const before = (a, b) => key[a] - key[b] || (this.ids[a] < this.ids[b] ? -1 : 1);
    const steps = Array.from(key.keys());
    return Int32Array.from(steps.sort(before));
  }

  /** Each step before those below it; one of a circle is at the top, too. */
  walk() {
    const { count, first, next, byStart } = this;
    const order = new Int32Array(count);
    const at = new Int32Array(count).fill(NONE);
    const depth = new Uint16Array(count);
    const up = new Int32Array(count).fill(NONE);
    const kids = new Int32Array(count);
    const after = new Int32Array(count);
    let placed = 0;
    const below = (top) => {
      let step = top;
      while (step !== NONE) {
        at[step] = placed;
        order[placed++] = step;
        let child = first[step];
        for (;;) {
          while (child !== NONE && at[child] !== NONE) child = next[child];
          if (child !== NONE) {
            up[child] = step;
            depth[child] = depth[step] + 1;
            if (!this.answers.has(child)) kids[step]++;
            step = child;
            break;
          }
          after[step] = placed;
          if (step === top) return;
          child = next[step];
          step = up[step];
        }
      }
    };
    for (let top = first[count]; top !== NONE; top = next[top]) below(top);
    for (const step of byStart) if (at[step] === NONE) below(step);
    Object.assign(this, { order, at, depth, up, kids, after });
  }

  /** The steps directly below one; NONE is the top. */
  *children(step) {
    if (step === NONE) {
      for (let at = 0; at < this.count; at = this.after[this.order[at]]) yield this.order[at];
      return;
    }
    for (let child = this.first[step]; child !== NONE; child = this.next[child]) {
      if (this.up[child] === step) yield child;
    }
  }

  /** Put many siblings of one type and name into a group, which is one row until it is opened. */
  gather() {
    this.groups = [];
    this.groupOf = new Int32Array(this.count).fill(NONE);
    const parents = [NONE];
    for (const step of this.order) if (this.kids[step] >= GROUP_OF_CALLS) parents.push(step);
    for (const parent of parents) {
      const kindOf = (child) => `${this.type[child]}/${this.names.get(child)?.[0] ?? ""}`;
      const byKind = Map.groupBy(this.children(parent), kindOf);
      for (const [kind, members] of byKind) {
        const { isCall } = this.types[this.type[members[0]]];
        if (members.length < (isCall ? GROUP_OF_CALLS : GROUP)) continue;
        const key = `${parent === NONE ? "" : this.ids[parent]}/${kind}`;
        for (const member of members) this.groupOf[member] = this.groups.length;
        this.groups.push({ key, members });
      }
    }
  }

  /** For each kind of mark how many steps have it, up to each place of the order. */
  add_up() {
    const tests = {
      hits: (step) => this.hits.has(step),
      origins: (step) => this.isOrigin(step),
      failed: (step) => this.status[step] === FAILED,
      held: (step) => this.held.has(step),
    };
    for (const [name, bits] of Object.entries({ ...MARKS, marked: MARKED })) {
      tests[name] = (step) => this.flags[step] & bits;
    }
    this.hasFailedChild = new Uint8Array(this.count);
    for (const step of this.order) {
      if (tests.failed(step) && this.up[step] !== NONE) this.hasFailedChild[this.up[step]] = 1;
    }
    for (const [name, test] of Object.entries(tests)) this.sums[name] = this.counted(test);
    this.tests = tests;
  }

  counted(test) {
    const sums = new Int32Array(this.count + 1);
    for (let at = 0; at < this.count; at++) sums[at + 1] = sums[at] + (test(this.order[at]) ? 1 : 0);
    return sums;
  }

  /** Note which steps a search found. */
  found(ids) {
    const steps = ids.map((id) => this.places.get(id)).filter((step) => step !== undefined);
    this.hits = new Set(steps.map((step) => this.answers.get(step) ?? step));
    this.sums.hits = this.counted(this.tests.hits);
  }

  /** How many steps at or below one have a mark. */
  sum(mark, step) {
    return this.sums[mark][this.after[step]] - this.sums[mark][this.at[step]];
  }

  /** How many steps have a mark. */
  total(mark) {
    return this.sums[mark][this.count];
  }

  /** Whether a failure began at a step. */
  isOrigin(step) {
    return this.status[step] === FAILED && !this.hasFailedChild[step];
  }

  /** Whether a question to a person cancelled a step, which goes on after the answer. */
  isSuspended(step) {
    if (this.status[step] !== CANCELLED) return false;
    for (let above = step; above !== NONE && this.status[above] === CANCELLED; above = this.up[above]) {
      for (const child of this.children(above)) if (this.types[this.type[child]].isAsked) return true;
    }
    return false;
  }

  /** Whether a step failed and its parent ended well. */
  isHandled(step) {
    return this.status[step] === FAILED && this.up[step] !== NONE && this.status[this.up[step]] === COMPLETE;
  }

  /** Whether a failure passed through a step up to the top. */
  isPath(step) {
    for (let at = step; at !== NONE; at = this.up[at]) if (this.status[at] !== FAILED) return false;
    return true;
  }

  /** Whether what is below a step, or a group, is shown. */
  isOpen(code) {
    const opened = this.opened.get(this.key(code));
    if (opened !== undefined) return opened;
    return code >= 0 && this.depth[code] < (this.levels ?? (this.size >= MANY ? OPEN_LEVELS : Infinity));
  }

  /** Open or close a step or a group. */
  toggle(code) {
    this.opened.set(this.key(code), !this.isOpen(code));
  }

  /** Open or close a level of all steps. */
  level(by) {
    const deepest = this.depth.reduce((most, depth) => Math.max(most, depth), 0);
    const levels = this.levels ?? (this.size >= MANY ? OPEN_LEVELS : deepest);
    this.levels = Math.max(0, Math.min(levels, deepest) + by);
    this.opened.clear();
  }

  key(code) {
    return code >= 0 ? code : this.group(code).key;
  }

  /** Open what is above a step, so that its row is shown. */
  reveal(step) {
    for (let at = step; at !== NONE; at = this.up[at]) {
      if (at !== step && !this.isOpen(at)) this.toggle(at);
      const group = this.groupOf[at];
      if (group !== NONE && !this.isOpen(-group - 2)) this.toggle(-group - 2);
    }
  }

  /**
   * The rows that are shown: steps, and groups as -2 - their place; and how deep each is.
   * With `only` those are shown that have this mark, and what is above them.
   */
  rows(only) {
    const codes = [];
    const levels = [];
    if (only) {
      for (let at = 0; at < this.count; ) {
        const step = this.order[at];
        const isShown = this.sum(only, step) > 0 && !this.answers.has(step);
        if (isShown) {
          codes.push(step);
          levels.push(this.depth[step]);
        }
        at = isShown ? at + 1 : this.after[step];
      }
      return { codes, levels };
    }
    const waiting = [];
    const put = (steps, level, within) => {
      const fresh = [];
      for (const step of steps) {
        if (this.answers.has(step)) continue;
        const group = within ? NONE : this.groupOf[step];
        if (group === NONE) fresh.push([step, level]);
        else if (this.groups[group].members[0] === step) fresh.push([-group - 2, level]);
      }
      for (let at = fresh.length - 1; at >= 0; at--) waiting.push(fresh[at]);
    };
    put(this.children(NONE), 0, false);
    while (waiting.length) {
      const [code, level] = waiting.pop();
      codes.push(code);
      levels.push(level);
      if (!this.isOpen(code)) continue;
      if (code >= 0) put(this.children(code), level + 1, false);
      else put(this.members(code), level + 1, true);
    }
    return { codes, levels };
  }

  /** The group of a row, which is not a step. */
  group(code) {
    return this.groups[-code - 2];
  }

  /** The steps of a row: one, or those of a group. */
  members(code) {
    return code >= 0 ? [code] : this.group(code).members;
  }

  /** From when to when steps lasted. */
  around(steps, [from, to] = [Infinity, -Infinity]) {
    for (const step of steps) {
      if (this.start[step] < from) from = this.start[step];
      const end = this.end(step);
      if (end > to) to = end;
    }
    return [from, to];
  }

  /** The begin and the end of rows, without rows that have others below them. */
  fit({ codes, levels }, first, last) {
    const isLowest = (at) => at + 1 === last || levels[at + 1] <= levels[at];
    const lowest = codes.slice(first, last).filter((_, at) => isLowest(first + at));
    const [from, to] = this.around(lowest.flatMap((code) => this.members(code)));
    return to > from ? [from, to] : this.whole();
  }

  /** From when to when the run lasted. */
  whole() {
    return (this.extent ??= this.around(this.byStart, [0, 1]));
  }

  /** The longest times in which no step without others below it was active. */
  gaps() {
    const [from, to] = this.whole();
    const gaps = [];
    let last = from;
    for (const step of this.byStart) {
      if (this.kids[step] || Number.isNaN(this.start[step])) continue;
      if (this.start[step] - last >= (to - from) * GAP) gaps.push([last, this.start[step]]);
      last = Math.max(last, this.end(step));
    }
    return gaps;
  }

  /** The next step in the order, in a direction, with a mark; after the last comes the first. */
  nextWith(mark, from, direction) {
    const test = this.tests[mark];
    const begin = from === NONE ? (direction > 0 ? -1 : this.count) : this.at[from];
    for (let by = 1; by <= this.count; by++) {
      const step = this.order[(begin + direction * by + 2 * this.count) % this.count];
      if (test(step)) return step;
    }
    return NONE;
  }

  /** How many steps began in each of `slices` parts of an axis, and how many of them failed. */
  activity(scale, slices) {
    const began = new Int32Array(slices);
    const failed = new Int32Array(slices);
    for (let step = 0; step < this.count; step++) {
      if (Number.isNaN(this.start[step])) continue;
      const at = Math.min(slices - 1, Math.max(0, Math.floor(scale.x(this.start[step]) * slices)));
      began[at]++;
      if (this.isOrigin(step)) failed[at]++;
    }
    return { began, failed };
  }
}

/** An axis: from times to places between 0 and 1, in which gaps are narrow. */
export class Scale {
  constructor([from, to], gaps = []) {
    Object.assign(this, { from, to, gaps });
    const idle = gaps.reduce((sum, [began, ended]) => sum + ended - began, 0);
    this.rate = (1 - gaps.length * GAP_WIDTH) / Math.max(to - from - idle, 1);
  }

  x(time) {
    let place = time - this.from;
    let width = 0;
    for (const [began, ended] of this.gaps) {
      if (time <= began) break;
      place -= Math.min(time, ended) - began;
      width += GAP_WIDTH * Math.min(1, (time - began) / (ended - began));
    }
    return place * this.rate + width;
  }

  time(x) {
    let [from, to] = [this.from, this.to];
    for (let by = 0; by < 50; by++) {
      const middle = (from + to) / 2;
      if (this.x(middle) < x) from = middle;
      else to = middle;
    }
    return to;
  }
}
