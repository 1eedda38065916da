// The list of runs: tells how many runs are new, and changes the rows shown in place.

import { parsed } from "./page.js";

const EVERY_MS = 5000;
const LONGEST_MS = 30000;

const news = document.getElementById("news");
const live = document.getElementById("live");
const first = document.querySelector("tr[data-run]");

let cursor = news?.dataset.cursor;
let wait = EVERY_MS;
let timer;

// A word about the connection, with a full or an empty dot.
const say = (word, isOn) => {
  if (live.textContent === word) return;
  const dot = document.createElement("span");
  dot.className = isOn ? "dot" : "dot off";
  live.replaceChildren(dot, word);
};

// A row that the server wrote.
const rowOf = (text) => parsed(`<table>${text}</table>`).querySelector("tr");

// A row is changed cell by cell, so that a cell with the focus stays if it is the same.
const change = (id, text) => {
  const row = document.querySelector(`tr[data-run="${CSS.escape(id)}"]`);
  const changed = row && rowOf(text);
  if (!changed) return;
  [...changed.cells].forEach((cell, place) => {
    const shown = row.cells[place];
    if (shown.innerHTML !== cell.innerHTML) shown.replaceChildren(...cell.childNodes);
  });
};

const tell = (count, isMore) => {
  if (!count) return;
  if ("empty" in news.dataset) return location.reload();
  news.textContent = `${count}${isMore ? " or more" : ""} new run${count > 1 ? "s" : ""}: show`;
  news.hidden = false;
};

const look = async () => {
  const url = new URL(news.dataset.live, location.href);
  url.searchParams.set("cursor", cursor);
  if (first) url.searchParams.set("newest", first.dataset.run);
  else url.searchParams.set("asof", news.dataset.asof ?? "");
  const answer = await fetch(url);
  if (answer.status === 401) return "signed out: sign in in another tab, then go on here";
  if (!answer.ok) throw new Error(`${answer.status}`);
  if (answer.status === 204) return "live";
  const changes = await answer.json();
  cursor = changes.cursor;
  Object.entries(changes.rows).forEach(([id, text]) => change(id, text));
  tell(changes.new, changes.more);
  return "live";
};

const next = () => {
  clearTimeout(timer);
  if (document.hidden) say("paused", false);
  else timer = setTimeout(turn, wait);
};

async function turn() {
  try {
    const word = await look();
    wait = EVERY_MS;
    say(word, word === "live");
  } catch {
    wait = Math.min(wait * 2, LONGEST_MS);
    say("reconnecting", false);
  }
  next();
}

if (news) {
  live.setAttribute("role", "status");
  say("live", true);
  document.addEventListener("visibilitychange", () => (document.hidden ? next() : turn()));
  next();
}
