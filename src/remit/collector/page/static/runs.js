// The list of runs: tells how many runs are new, and changes the rows shown in place.

import { parsed, poll, SIGNED_OUT } from "./page.js";

const EVERY_MS = 5000;

const news = document.getElementById("news");
const first = document.querySelector("tr[data-run]");

let cursor = news?.dataset.cursor;

// A row is changed cell by cell, so that a cell with the focus stays if it is the same.
const change = (id, text) => {
  const row = document.querySelector(`tr[data-run="${id}"]`);
  if (!row) return;
  const changed = parsed(`<table>${text}</table>`).querySelector("tr");
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
  if (answer.status === 401) return SIGNED_OUT;
  if (!answer.ok) throw new Error(`${answer.status}`);
  if (answer.status === 204) return "live";
  const changes = await answer.json();
  cursor = changes.cursor;
  Object.entries(changes.rows).forEach(([id, text]) => change(id, text));
  tell(changes.new, changes.more);
  return "live";
};

if (news) poll(look, EVERY_MS);
