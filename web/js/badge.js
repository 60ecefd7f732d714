/** The balance: in the top bar where the frontend has a place for it, and above the list of jobs; or nowhere. */

import { app } from "/scripts/app.js";
import { getBalance, listen } from "./api.js";
import { formatMoment, formatMoney } from "./logic/format.js";
import { Living } from "./logic/living.js";
import { JOBS_TAB, h, language, reason, run, symbolButton, t } from "./page.js";
import { watch } from "./state.js";

let balance = null;
let problem = "";
/** Nothing is asked of the service when the page opens: only once somebody looks, and after runs. */
let asked = false;
/** Whether the top bar shows it. */
let isShown = false;
/** The amounts in lines above lists of jobs. */
export const lines = new Living();

/** A line with the balance and a button to ask for it. */
export function balanceLine() {
  const amount = h("span", { class: "sf-balance-amount" });
  const element = h(
    "div",
    { class: "sf-balance" },
    h("span", { class: "sf-muted" }, t("balance.label")),
    amount,
    symbolButton("refresh", t("balance.refresh"), ask),
  );
  lines.add(element, amount);
  show(amount);
  watch(element, (known) => {
    element.hidden = !known?.key.is_set || !known.values.show_balance;
    if (!element.hidden && !asked) ask();
  });
  return element;
}

function show(amount) {
  amount.textContent = balance ? formatMoney(balance.balance, balance.currency) : problem ? "—" : t("balance.unknown");
  amount.title = balance ? formatMoment(balance.at, language()) : problem;
}

async function ask() {
  asked = true;
  try {
    hear(await getBalance());
  } catch (error) {
    problem = reason(error);
    balance = null;
    drawAll();
  }
}

function hear(answer) {
  [balance, problem] = [answer, ""];
  drawAll();
}

function drawAll() {
  lines.forEach(show);
  drawButton();
}

function drawButton(isOn = isShown) {
  isShown = isOn;
  kept().badge =
    isOn && balance
      ? {
          label: formatMoney(balance.balance, balance.currency),
          tooltip: t("balance.tooltip", { when: formatMoment(balance.at, language()) }),
        }
      : null;
}

/**
 * What our own sidebar tab holds: the frontend watches tabs, but not the buttons of the top bar. One
 * that copied or froze the tab gets a button that it draws anew only when it likes.
 */
const kept = () => {
  const held = app.extensionManager?.getSidebarTabs?.().find((tab) => tab.id === JOBS_TAB)?.siliconflow;
  return held && !Object.isFrozen(held) ? held : unwatched;
};
const unwatched = { badge: null };

/** Read whenever the frontend draws it, and drawn anew because what it reads is watched. */
const BUTTON = {
  icon: "sf-tab-icon",
  get label() {
    return kept().badge?.label;
  },
  get tooltip() {
    return kept().badge?.tooltip;
  },
  get class() {
    return kept().badge ? "sf-balance-button" : "sf-hidden";
  },
  onClick: () => run("SiliconFlow.ShowJobs"),
};

app.registerExtension({
  name: "SiliconFlow.Balance",
  actionBarButtons: [BUTTON],
  setup() {
    listen("balance", hear);
    watch(document.body, (known) => known && drawButton(known.values.show_balance));
  },
});
