// What every page does: the reader's time zone and theme, the sign-in by a link, and keys;
// and what the scripts of single pages share.

const LONGEST_PAUSE_MS = 30000;

const cookie = (name, value) => {
  document.cookie = `${name}=${value}; path=/; max-age=31536000; samesite=lax`;
};
const cookies = () => Object.fromEntries(document.cookie.split("; ").map((pair) => pair.split("=")));

const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (!cookies().remit_zone && own !== "UTC") {
  cookie("remit_zone", own);
  // The first page was rendered in UTC.
  if (document.querySelector("time")) location.reload();
}

const secret = document.getElementById("secret");
if (secret && location.hash.length > 1) {
  secret.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname + location.search);
  // Where someone is signed in, a link does not change who that is by itself.
  if ("submit" in secret.form.dataset) secret.form.requestSubmit();
}

// The only way from a text to elements: HTML that this server has rendered.
const policy = globalThis.trustedTypes?.createPolicy("remit", { createHTML: (html) => html });

/** The elements of HTML from this server. */
export const parsed = (html) =>
  new DOMParser().parseFromString(policy ? policy.createHTML(html) : html, "text/html");

/** Whether a click has no key with it, which would open a link in another tab. */
export const isPlain = (event) => !(event.ctrlKey || event.metaKey || event.shiftKey);

/** Message of a script when the session has ended. */
export const SIGNED_OUT = "signed out: sign in in another tab, then continue here";

const live = document.getElementById("live");

// A word about the connection, with a full or an empty dot.
const tell = (word) => {
  if (live.textContent === word) return;
  const dot = document.createElement("span");
  dot.className = word === "live" ? "dot" : "dot off";
  live.replaceChildren(...(word ? [dot, word] : []));
};

/**
 * Asks for changes at an interval while the page is visible, less often after errors.
 * `ask` returns a word about the connection, or null at the end.
 */
export function poll(ask, everyMs) {
  let pause = everyMs;
  let timer;
  const next = () => {
    clearTimeout(timer);
    if (document.hidden) tell("paused");
    else timer = setTimeout(turn, pause);
  };
  const turn = async () => {
    let word = "reconnecting";
    try {
      word = await ask();
      pause = everyMs;
    } catch {
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    }
    tell(word ?? "");
    if (word !== null) next();
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? next() : turn()));
  tell("live");
  next();
}

const PAGES = { r: "/runs", a: "/agents", d: "/map", f: "/denied", w: "/register" };
let before = "";

const changeTheme = () => {
  const root = document.documentElement;
  const isDark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  cookie("remit_theme", root.dataset.theme);
};

const changeZone = () => {
  cookie("remit_zone", (cookies().remit_zone ?? "UTC") === "UTC" ? own : "UTC");
  location.reload();
};

const follow = (selector) => document.querySelector(selector)?.click();

const KEYS = {
  "?": () => location.assign("/help"),
  "/": () => document.querySelector("#filter, input[type=search], .line input")?.focus(),
  "[": () => follow("#newer"),
  "]": () => follow("#older"),
  t: changeTheme,
  u: changeZone,
};

// The page of help turns keys off.
const keysOn = document.getElementById("keys-on");
if (keysOn) {
  keysOn.checked = cookies().remit_keys !== "off";
  keysOn.closest("p").hidden = false;
  keysOn.addEventListener("change", () => cookie("remit_keys", keysOn.checked ? "on" : "off"));
}

addEventListener("keydown", (event) => {
  const isText = event.target.closest?.("input, select, textarea, dialog");
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isText) return;
  if (cookies().remit_keys === "off") return;
  const page = before === "g" ? PAGES[event.key] : undefined;
  before = event.key;
  if (page) location.assign(page);
  else if (KEYS[event.key]) {
    event.preventDefault();
    KEYS[event.key]();
  }
});
