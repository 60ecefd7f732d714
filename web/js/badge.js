/** The balance: in the top bar where the frontend has a place for it, and above the list of jobs. */

import { app } from "/scripts/app.js";
import { getBalance, listen } from "./api.js";
import { formatMoment, formatMoney } from "./logic/format.js";
import { h, language, reason, symbolButton, t } from "./page.js";
import { watch } from "./state.js";

const NAME = "SiliconFlow.Balance";

let balance = null;
let problem = "";
/** Nothing is asked of the service when the page opens: only once somebody looks, and after runs. */
let asked = false;
/** Lines above lists of jobs. */
const lines = new Set();

/** A line with the balance and a button to ask for it. */
export function balanceLine() {
  const amount = h("span", { class: "sf-balance-amount" });
  const element = h("div", { class: "sf-balance" }, h("span", { class: "sf-muted" }, t("balance.label")), amount, symbolButton("refresh", t("balance.refresh"), ask));
  const line = { element, amount };
  lines.add(line);
  show(line);
  watch(element, (known) => {
    element.hidden = !known?.key.is_set;
    if (known?.key.is_set && known.values.show_balance && !asked) ask();
  });
  return element;
}

function show({ amount }) {
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
  for (const line of lines) {
    if (line.element.isConnected || !line.seen) show(line);
    else lines.delete(line);
    line.seen ||= line.element.isConnected;
  }
  drawButton();
}

/**
 * The button of the top bar. The frontend draws what the extension's `actionBarButtons` hold; its
 * own copy of the extension is reactive, so the list is exchanged there.
 */
function drawButton(isOn = isShown) {
  isShown = isOn;
  const extension = app.extensions?.find((each) => each.name === NAME);
  if (extension) extension.actionBarButtons = isOn && balance ? [topButton()] : [];
}

let isShown = false;

function topButton() {
  return {
    icon: "sf-tab-icon",
    label: formatMoney(balance.balance, balance.currency),
    tooltip: t("balance.tooltip", { when: formatMoment(balance.at, language()) }),
    class: "sf-balance-button",
    onClick: () => app.extensionManager.command.execute("SiliconFlow.ShowJobs"),
  };
}

app.registerExtension({
  name: NAME,
  actionBarButtons: [],
  setup() {
    listen("balance", hear);
    watch(document.body, (known) => known && drawButton(known.values.show_balance));
  },
});
