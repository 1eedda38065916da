// How numbers and times are written; formats.py writes them alike.

const US_PER_MS = 1000;
const US_PER_S = 1e6;

/** A number with `digits` decimals, rounded as Python rounds: a tie goes to the even one. */
export function fixed(value, digits) {
  const tie = (value * 2 ** (digits + 1)) % 2 === 1;
  const scale = 10 ** digits;
  return (tie ? (2 * Math.round((value * scale - 0.5) / 2 + 0.25)) / scale : value).toFixed(digits);
}

/** A number with commas: `184,310`. */
export const number = (value) => (value === null ? "–" : value.toLocaleString("en-US"));

/** A duration in microseconds in words: `0.06 ms`, `8.42 s`, `16 min 45 s`. */
export function duration(us) {
  if (us === null || Number.isNaN(us)) return "not known";
  if (us < US_PER_S) {
    const ms = us / US_PER_MS;
    if (ms >= 100) return `${fixed(ms, 0)} ms`;
    return ms >= 1 ? `${Number(fixed(ms, ms >= 10 ? 1 : 2))} ms` : `${fixed(ms, 2)} ms`;
  }
  const s = us / US_PER_S;
  if (s < 60) return `${fixed(s, s >= 10 ? 1 : 2)} s`;
  const whole = Number(fixed(s, 0));
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
