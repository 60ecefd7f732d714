/** Numbers, times and amounts as people read them. Times are Unix seconds. Does nothing on import. */

/** @import { Language } from "../types" */

const BYTE_UNITS = ["B", "KB", "MB", "GB", "TB"];
/** @type {Record<string, string | undefined>} */
const CURRENCY_SIGNS = { CNY: "¥", USD: "$" };
/** Where a language is read in more than one way. @type {Record<string, string | undefined>} */
const LOCALES = { en: "en-GB", zh: "zh-CN" };

/**
 * 1536 -> "1.5 KB".
 * @param {number} bytes
 */
export function formatBytes(bytes) {
  const power = bytes >= 1 ? Math.min(Math.floor(Math.log(bytes) / Math.log(1024)), BYTE_UNITS.length - 1) : 0;
  const amount = bytes / 1024 ** power;
  return `${power > 0 && amount < 10 ? amount.toFixed(1) : Math.round(amount)} ${BYTE_UNITS[power]}`;
}

/**
 * 4.26 -> "4.3 s", 75 -> "1:15".
 * @param {number | null | undefined} seconds
 */
export function formatSeconds(seconds, unit = "s") {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "";
  if (seconds < 59.95) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} ${unit}`;
  return formatCountdown(seconds);
}

/**
 * 0 -> "0:00", 75 -> "1:15", 3675 -> "1:01:15".
 * @param {number} seconds
 */
export function formatCountdown(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const tail = `${hours ? String(minutes).padStart(2, "0") : minutes}:${String(rest).padStart(2, "0")}`;
  return hours ? `${hours}:${tail}` : tail;
}

/**
 * "12.3", "CNY" -> "¥12.30". Money comes as text and never becomes a float: it is only cut or padded.
 * @param {string} amount
 * @param {string} currency
 * @param {{ isWhole?: boolean }} [how] whether all digits stay
 */
export function formatMoney(amount, currency, { isWhole = false } = {}) {
  const [, minus, whole, cents = ""] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(String(amount).trim()) ?? [];
  if (whole === undefined) return String(amount);
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return `${minus}${CURRENCY_SIGNS[currency] ?? ""}${grouped}.${(isWhole ? cents.replace(/0+$/, "") : cents.slice(0, 2)).padEnd(2, "0")}`;
}

/**
 * "0.105", 3 -> "0.315": no digit is lost.
 * @param {string} amount zero or more
 * @param {number} times
 */
export function timesMoney(amount, times) {
  const [whole = "", decimals = ""] = amount.split(".");
  const digits = String(BigInt(whole + decimals) * BigInt(times)).padStart(decimals.length + 1, "0");
  const point = digits.length - decimals.length;
  return decimals ? `${digits.slice(0, point)}.${digits.slice(point)}` : digits;
}

/**
 * "14:05" in the user's own time zone.
 * @param {number} unix
 * @param {Language} language
 */
export function formatClock(unix, language) {
  const date = new Date(unix * 1000);
  return date.toLocaleTimeString(LOCALES[language] ?? language, { hour: "2-digit", minute: "2-digit", hour12: false });
}

/**
 * Whether two moments are of one day, in the user's own time zone.
 * @param {number} a
 * @param {number} b
 */
export function isSameDay(a, b) {
  return new Date(a * 1000).toDateString() === new Date(b * 1000).toDateString();
}

/**
 * "Today", "Yesterday", else "Fri, 20 Nov".
 * @param {number} unix
 * @param {Language} language
 * @param {number} now
 * @param {{ today: string, yesterday: string }} words
 */
export function formatDay(unix, language, now, { today, yesterday }) {
  if (isSameDay(unix, now)) return today;
  const date = new Date(unix * 1000);
  const after = new Date(date.getFullYear(), date.getMonth(), date.getDate() + 1);
  if (isSameDay(after.getTime() / 1000, now)) return yesterday;
  const isThisYear = date.getFullYear() === new Date(now * 1000).getFullYear();
  return date.toLocaleDateString(LOCALES[language] ?? language, {
    weekday: "short",
    day: "numeric",
    month: "short",
    year: isThisYear ? undefined : "numeric",
  });
}

/**
 * "14:05" today, else "20 Nov, 14:05".
 * @param {number} unix
 * @param {Language} language
 */
export function formatMoment(unix, language, now = Date.now() / 1000) {
  if (isSameDay(unix, now)) return formatClock(unix, language);
  return new Date(unix * 1000).toLocaleString(LOCALES[language] ?? language, {
    day: "numeric",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
    hour12: false,
  });
}

/**
 * The name that people know a model by: what follows its maker.
 * @param {string | null | undefined} model
 */
export function shortModel(model) {
  return (model ?? "").split("/").at(-1) ?? "";
}
