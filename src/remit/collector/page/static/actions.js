// The page of a run: copying, and the dialog that terminates.

import { isPlain } from "./page.js";

const say = (link, words) => {
  const before = link.textContent;
  link.textContent = words;
  document.getElementById("copied").textContent = words;
  setTimeout(() => { link.textContent = before; }, 2000);
};

// A link that is copied: its address, or the text behind it.
const copy = async (link) => {
  try {
    const text = link.dataset.copy === "link" ? link.href : await (await fetch(link.href)).text();
    await navigator.clipboard.writeText(text);
    say(link, "Copied");
  } catch {
    location.href = link.href;
  }
};

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-copy], [data-dialog], [data-close]");
  if (!link || !isPlain(event)) return;
  event.preventDefault();
  if (link.dataset.copy) copy(link);
  else if (link.dataset.dialog) document.getElementById(link.dataset.dialog).showModal();
  else link.closest("dialog").close();
});
