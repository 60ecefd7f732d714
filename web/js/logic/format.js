/** Numbers, times and amounts as people read them. Does nothing on import. */

const BYTE_UNITS = ["B", "KB", "MB", "GB", "TB"];
const SIGNS = { CNY: "¥", USD: "$" };

/** 1536 -> "1.5 KB". */
export function formatBytes(bytes) {
  const power = bytes > 0 ? Math.min(Math.floor(Math.log(bytes) / Math.log(1024)), BYTE_UNITS.length - 1) : 0;
  const amount = bytes / 1024 ** Math.max(power, 0);
  return `${power > 0 && amount < 10 ? amount.toFixed(1) : Math.round(amount)} ${BYTE_UNITS[Math.max(power, 0)]}`;
}

/** 4.26 -> "4.3 s", 75 -> "1:15". */
export function formatSeconds(seconds, unit = "s") {
  if (seconds == null || !Number.isFinite(seconds)) return "";
  if (seconds < 59.95) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} ${unit}`;
  return formatCountdown(seconds);
}

/** 0 -> "0:00", 75 -> "1:15", 3675 -> "1:01:15". */
export function formatCountdown(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const tail = `${hours ? String(minutes).padStart(2, "0") : minutes}:${String(rest).padStart(2, "0")}`;
  return hours ? `${hours}:${tail}` : tail;
}

/** "12.3", "CNY" -> "¥12.30". Money comes as text and is never made a float: only cut or padded. */
export function formatMoney(amount, currency) {
  const [, minus, whole, cents = ""] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(String(amount).trim()) ?? [];
  if (whole === undefined) return String(amount);
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return `${minus}${SIGNS[currency] ?? ""}${grouped}.${cents.slice(0, 2).padEnd(2, "0")}`;
}

/** Unix seconds -> "14:05" in the user's own clock. */
export function formatClock(unix, language) {
  const options = { hour: "2-digit", minute: "2-digit", hour12: false };
  return new Date(unix * 1000).toLocaleTimeString(language === "zh" ? "zh-CN" : "en-GB", options);
}

/** Whether two moments are of one day, by the user's own clock. */
export function isSameDay(...moments) {
  const [one, other] = moments.map((unix) => new Date(unix * 1000).toDateString());
  return one === other;
}

/** Unix seconds -> "14:05" today, else "20 Nov, 14:05". */
export function formatMoment(unix, language, now = Date.now() / 1000) {
  const clock = formatClock(unix, language);
  if (isSameDay(unix, now)) return clock;
  const date = new Date(unix * 1000).toLocaleDateString(language === "zh" ? "zh-CN" : "en-GB", {
    day: "numeric",
    month: "short",
  });
  return language === "zh" ? `${date} ${clock}` : `${date}, ${clock}`;
}

/** The name that people know a model by: what follows its maker. */
export function shortModel(model) {
  return String(model ?? "")
    .split("/")
    .at(-1);
}
