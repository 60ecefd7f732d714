/** What was spent today and this month, above the list of jobs: a line that opens to a table by model. */

/** @import { Job, Spend, SpendPeriod } from "./types" */

import { getSpend, onEvent } from "./api.js";
import { formatMoney, shortModel } from "./logic/format.js";
import { isUnderWay } from "./logic/jobs.js";
import { MountedElements } from "./logic/mounted.js";
import { errorText, h, t } from "./page.js";
import { settings } from "./settings_store.js";

const PAUSE_MILLISECONDS = 500;

/** @type {Spend | null} */
let spend = null;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let due;
/**
 * The lines above lists of jobs.
 * @type {MountedElements<{ line: HTMLElement, summary: HTMLElement, table: HTMLElement }>}
 */
export const lines = new MountedElements();

/** A line with the spend, hidden while there is none to tell of. */
export function spendLine() {
  const summary = h("summary", { class: "sf-muted" });
  const table = h("div", { class: "sf-spend-table" });
  const line = h("details", { class: "sf-spend" }, summary, table);
  const shown = { line, summary, table };
  lines.add(line, shown);
  draw(shown);
  refresh();
  return line;
}

async function refresh() {
  try {
    if ((await settings()).read_only) return; // several users, one ledger
    spend = await getSpend();
    lines.forEach(draw);
  } catch (error) {
    lines.forEach(({ line, summary }) => {
      line.hidden = false;
      summary.textContent = errorText(error);
    });
  }
}

/** @param {{ line: HTMLElement, summary: HTMLElement, table: HTMLElement }} shown */
function draw({ line, summary, table }) {
  line.hidden = !spend?.month.models.length;
  if (!spend) return;
  const { currency, today, month } = spend;
  summary.textContent = [
    t("spend.today", { amount: formatMoney(today.spent, currency) }),
    t("spend.month", { amount: formatMoney(month.spent, currency) }),
  ].join(" · ");
  table.replaceChildren(
    ...period(t("spend.today_by_model"), today, currency),
    ...period(t("spend.month_by_model"), month, currency),
  );
}

/**
 * @param {string} title
 * @param {SpendPeriod} told
 * @param {string} currency
 */
function period(title, told, currency) {
  if (!told.models.length) return [];
  const rows = told.models.map((each) =>
    h("li", {}, h("span", { title: each.model }, shortModel(each.model)), formatMoney(each.spent, currency)),
  );
  const notes = [
    ...(Number(told.saved) ? [t("spend.saved", { amount: formatMoney(told.saved, currency) })] : []),
    ...(told.unknown ? [t("spend.unknown", { n: told.unknown })] : []),
  ];
  return [
    h("strong", {}, title),
    h("ul", { role: "list" }, ...rows),
    ...(notes.length ? [h("div", { class: "sf-muted" }, notes.join(" · "))] : []),
  ];
}

/** @param {{ job: Job }} event */
function onJob({ job }) {
  if ((isUnderWay(job) && !job.was_sent) || !lines.size) return;
  clearTimeout(due);
  due = setTimeout(refresh, PAUSE_MILLISECONDS);
}

onEvent("jobs", onJob);
