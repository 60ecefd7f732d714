/** The balance: in the top bar where the frontend has a place for it, and above the list of jobs; or nowhere. */

import { app } from "/scripts/app.js";
import { getBalance, listen } from "./api.js";
import { formatMoment, formatMoney } from "./logic/format.js";
import { Living } from "./logic/living.js";
import { JOBS_TAB, h, language, reason, run, symbolButton, t } from "./page.js";
import { watch } from "./state.js";

let balance = null;
/** Whose balance it is, as far as the page is told. */
let account = null;
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
    element.hidden = !isWanted(known);
    if (!element.hidden && !asked) ask();
  });
  return element;
}

function show(amount) {
  amount.textContent = balance ? formatMoney(balance.balance, balance.currency) : problem ? "—" : t("balance.unknown");
  amount.title = balance ? formatMoment(balance.at, language()) : problem;
}

const isWanted = (known) => Boolean(known?.key.is_set && known.values.show_balance);

/** Asks for the balance, and shows it wherever it is on show. */
export async function ask() {
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

/**
 * The settings hold what the pack heard last, so a page that opens asks nobody. Another account is asked
 * for at once: somebody has just set its key.
 */
function follow(known) {
  const before = account;
  account = accountIn(known);
  if (account !== before) [balance, problem] = [null, ""];
  if (known.balance && !(balance?.at > known.balance.at)) balance = known.balance;
  isShown = known.values.show_balance;
  drawAll();
  if (before !== null && account !== before && isWanted(known)) ask();
}

const accountIn = ({ key, base_url, values }) => JSON.stringify([key, base_url, values.site]);

function drawAll() {
  lines.forEach(show);
  drawButton();
}

function drawButton() {
  kept().badge =
    isShown && balance
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
    watch(document.body, (known) => known && follow(known));
  },
});
