/** The balance: in the top bar where the frontend has a place for it, and above the list of jobs; or nowhere. */

/** @import { Balance, Settings } from "./types" */

import { app } from "../../../scripts/app.js";
import { getBalance, onEvent } from "./api.js";
import { formatMoment, formatMoney } from "./logic/format.js";
import { MountedElements } from "./logic/mounted.js";
import { JOBS_TAB, errorText, execute, h, language, symbolButton, t } from "./page.js";
import { watch } from "./settings_store.js";

/** @type {Balance | null} */
let balance = null;
/** Why the balance could not be fetched. */
let problem = "";
/**
 * Whose balance it is, as far as the page is told.
 * @type {string | null}
 */
let account = null;
/** The service is not asked when the page opens: only once somebody looks, and after runs. */
let isRequested = false;
/** Whether the user wants to see it, and there is a key. */
let isShown = false;
/** Whether the top bar shows it. */
let isInTopBar = false;
/**
 * The lines above lists of jobs, with their amounts.
 * @type {MountedElements<{ line: HTMLElement, amount: HTMLElement }>}
 */
export const lines = new MountedElements();

/** A line with the balance and a button to refresh it; hidden where the service no longer tells it. */
export function balanceLine() {
  const amount = h("span", { class: "sf-balance-amount" });
  const element = h(
    "div",
    { class: "sf-balance" },
    h("span", { class: "sf-muted" }, t("balance.label")),
    amount,
    symbolButton("refresh", t("balance.refresh"), refreshBalance),
  );
  const shown = { line: element, amount };
  lines.add(element, shown);
  drawLine(shown);
  watch(element, (settings) => {
    isShown = isWanted(settings);
    drawLine(shown);
    if (!element.hidden && !isRequested) refreshBalance();
  });
  return element;
}

/** @param {{ line: HTMLElement, amount: HTMLElement }} shown */
function drawLine({ line, amount }) {
  line.hidden = !isShown || balance?.balance === null;
  amount.textContent = balance ? moneyText(balance) : problem ? "—" : t("balance.unknown");
  amount.title = balance ? formatMoment(balance.at, language()) : problem;
}

/** @param {Balance} told */
const moneyText = (told) => (told.balance === null ? "" : formatMoney(told.balance, told.currency));

/** @param {Settings | null} settings */
const isWanted = (settings) => Boolean(settings?.key.is_set && settings.values.show_balance);

/** Fetches the balance and shows it wherever it is on show. */
export async function refreshBalance() {
  isRequested = true;
  try {
    accept(await getBalance());
  } catch (error) {
    problem = errorText(error);
    balance = null;
    drawAll();
  }
}

/** @param {Balance} received */
function accept(received) {
  [balance, problem] = [received, ""];
  drawAll();
}

/**
 * The settings hold the balance that the pack last heard of, so a page that opens asks nobody. For another
 * account it is fetched at once: somebody has just set its key.
 * @param {Settings} settings
 */
function onSettings(settings) {
  const before = account;
  account = JSON.stringify([settings.key, settings.base_url, settings.values.site]);
  if (account !== before) [balance, problem] = [null, ""];
  if (settings.balance && !(balance && balance.at > settings.balance.at)) balance = settings.balance;
  isInTopBar = settings.values.show_balance;
  drawAll();
  if (before !== null && account !== before && isWanted(settings)) refreshBalance();
}

function drawAll() {
  lines.forEach(drawLine);
  buttonState().badge =
    isInTopBar && balance && balance.balance !== null
      ? {
          label: moneyText(balance),
          tooltip: t("balance.tooltip", { when: formatMoment(balance.at, language()) }),
        }
      : null;
}

/** @typedef {{ badge: { label: string, tooltip: string } | null }} ButtonState What the button of the top bar shows. */

/** @type {ButtonState} */
const unwatchedState = { badge: null };

/**
 * The frontend watches what a sidebar tab holds, but not the buttons of the top bar: so the button's state is in
 * our tab. If the frontend copied or froze the tab, the button is redrawn only when the frontend likes.
 * @returns {ButtonState}
 */
function buttonState() {
  const tabs = /** @type {(Comfy.SidebarTab & { siliconflow?: ButtonState })[] | undefined} */ (
    app.extensionManager?.getSidebarTabs?.()
  );
  const state = tabs?.find((tab) => tab.id === JOBS_TAB)?.siliconflow;
  return state && !Object.isFrozen(state) ? state : unwatchedState;
}

/** Its getters are read whenever the frontend draws it, and it is drawn again because what they read is watched. */
const BUTTON = {
  icon: "sf-tab-icon",
  get label() {
    return buttonState().badge?.label;
  },
  get tooltip() {
    return buttonState().badge?.tooltip;
  },
  get class() {
    return buttonState().badge ? "sf-balance-button" : "sf-hidden";
  },
  onClick: () => execute("SiliconFlow.ShowJobs"),
};

app.registerExtension({
  name: "SiliconFlow.Balance",
  actionBarButtons: [BUTTON],
  setup() {
    onEvent("balance", accept);
    watch(document.body, (settings) => settings && onSettings(settings));
  },
});
