// What every page does: the reader's time zone and theme, and the sign-in by a link.

const cookie = (name, value) => {
  document.cookie = `${name}=${value}; path=/; max-age=31536000; samesite=lax`;
};
const cookies = () => Object.fromEntries(document.cookie.split("; ").map((pair) => pair.split("=")));

const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (!cookies().remit_zone && own && own !== "UTC") {
  cookie("remit_zone", own);
  // The first page was rendered in UTC.
  if (document.querySelector("time")) location.reload();
}

const secret = document.getElementById("secret");
if (secret && location.hash.length > 1) {
  secret.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname + location.search);
  secret.form.requestSubmit();
}

// The key ? leads to the help, unless somebody is writing.
document.addEventListener("keydown", (event) => {
  const writing = event.target.closest?.("input, select, textarea, dialog");
  if (event.key === "?" && !writing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    location.assign("/help");
  }
});
