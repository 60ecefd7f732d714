/** The pack's page in ComfyUI's settings dialog. ComfyUI's own settings file holds nothing of it. */

import { app } from "/scripts/app.js";
import { ask as askBalance } from "./badge.js";
import * as catalogue from "./catalogue.js";
import { clearStored, deleteKey, getStored, refreshModels, setKey, testKey } from "./api.js";
import { choiceFor, note, numberFor, switchFor } from "./controls.js";
import { keyField, problemOf, tryKey, unencrypted } from "./key_field.js";
import { formatBytes, formatMoment, formatMoney } from "./logic/format.js";
import { modelCounts } from "./logic/settings.js";
import { KEY_PAGES, button, confirmed, h, language, link, reason, t, trouble, withElements } from "./page.js";
import { accept, follow, settings, watch } from "./state.js";
import { TEXTS } from "./texts.js";

const idOf = (name) => `SiliconFlow.${name}`;
const currencyOf = (known) => t(known.values.site === "com" ? "unit.USD" : "unit.CNY");

/** Group by group, row by row, as they are shown: [name, what renders it]. */
const GROUPS = {
  account: [
    ["key", keyRow],
    ["site", (id) => choiceFor("site", id, (site) => t(`site.${site}`))],
    ["show_balance", (id) => switchFor("show_balance", id)],
  ],
  models: [["refresh", modelsRow]],
  pictures: [
    ["upload_format", (id) => choiceFor("upload_format", id, (format) => t(`format.${format}`))],
    ["upload_side", (id) => numberFor("upload_side", id, () => t("unit.pixels"), { whole: true })],
  ],
  requests: [
    ["max_parallel", (id) => numberFor("max_parallel", id, null, { whole: true, aboveZero: true })],
    ["longest_wait", (id) => numberFor("longest_wait", id, () => t("unit.seconds"), { aboveZero: true })],
  ],
  stored: [
    ["reuse", (id) => switchFor("reuse", id)],
    ["stored", storedRow],
    ["ledger_days", (id) => numberFor("ledger_days", id, () => t("unit.days"), { aboveZero: true })],
    ["ledger_gib", (id) => numberFor("ledger_gib", id, () => t("unit.gib"), { aboveZero: true })],
  ],
  spending: [
    ["balance_floor", (id) => numberFor("balance_floor", id, currencyOf)],
    ["picture_price", (id) => numberFor("picture_price", id, currencyOf)],
    ["most_pictures", (id) => numberFor("most_pictures", id, null, { whole: true })],
  ],
};

/** Rows that show more than the value of a setting. */
const MORE_THAN_A_VALUE = new Set(["key", "refresh", "stored"]);

/** The definitions for ComfyUI. It sorts by `sortOrder`, the highest first, and translates by locales/. */
function definitions(known) {
  const exists = ([, name]) => !known || MORE_THAN_A_VALUE.has(name) || name in known.values;
  const rows = Object.entries(GROUPS)
    .flatMap(([group, list]) => list.map(([name, render]) => [group, name, render]))
    .filter(exists);
  return rows.map(([group, name, render], at) => ({
    id: idOf(name),
    name: TEXTS.en[`setting.${name}`],
    tooltip: TEXTS.en[`setting.${name}.tip`],
    category: ["SiliconFlow", TEXTS.en[`group.${group}`], name],
    type: () => render(idOf(name)),
    defaultValue: null,
    sortOrder: rows.length - at,
  }));
}

/** The key: write-only. What is shown of it is what the server tells, its last four characters. */
function keyRow(id) {
  const [state, result, warning] = [note(), note(), unencrypted()];
  const field = keyField({ name: "key", "aria-labelledby": `${id}-label`, onEnter: () => save.click() });
  const save = button(t("action.save"), () => told(result, saveKey), { kind: "primary" });
  const test = button(t("action.test"), () => told(result, testNow));
  const remove = button(t("action.delete"), () => told(result, removeKey), { kind: "danger" });
  const saveKey = async () => {
    const key = field.read();
    if (!key) return result.say("problem", t("key.empty"));
    result.say("hint", t("action.testing"));
    const known = await settings();
    try {
      const trial = await tryKey(key, known.values.site);
      accept(await setKey(key));
      field.clear();
      sayKept(result, trial);
    } catch (error) {
      const kept = known.key.is_set ? "key.not_replaced" : "key.not_saved";
      result.say("problem", `${problemOf(error)}\n${t(kept)}`);
    }
  };
  const testNow = async () => {
    result.say("hint", t("action.testing"));
    const known = await settings();
    result.say("good", works(await testKey(field.read(), known.values.site)));
    if (!field.read()) await askBalance(); // what the pack has just heard
  };
  const removeKey = async () => {
    if (!(await confirmed(t("key.delete_title"), t("key.delete_message")))) return;
    accept(await deleteKey());
    result.say("good", t("key.deleted"));
  };
  const root = h(
    "div",
    { class: "sf-control sf-wide" },
    h("div", { class: "sf-line" }, field.element, save),
    warning,
    h("div", { class: "sf-line sf-between" }, state.element, h("span", { class: "sf-line" }, test, remove)),
    result.element,
  );
  watch(root, (known, error) => showKey(known, error, { state, field, save, test, remove, warning }));
  return root;
}

function showKey(known, error, { state, field, save, test, remove, warning }) {
  if (error) return state.say("problem", trouble(error));
  const { key } = known;
  const decided = key.source === "environment";
  for (const element of [field.element, save]) element.disabled = known.read_only || decided;
  if (warning) warning.hidden = field.element.disabled;
  remove.hidden = !key.is_set || decided || known.read_only;
  test.disabled = known.read_only && !key.is_set;
  state.say("hint", [keyState(known), keyOwner(known)].flat());
}

function keyState({ key, values }) {
  if (!key.is_set) return withElements(t("key.none"), { link: link(KEY_PAGES[values.site]) });
  return key.last4 ? t("key.in_use", { last4: key.last4 }) : t("key.in_use_hidden");
}

function keyOwner({ key, read_only }) {
  const reasons = [
    key.source === "environment" && t("key.from_environment", { name: "SILICONFLOW_API_KEY" }),
    read_only && t("settings.read_only"),
  ];
  return reasons.filter(Boolean).flatMap((text) => [h("br"), text]);
}

const works = ({ name, balance, currency }) => t("key.works", { name, balance: formatMoney(balance, currency) });

/** A key that was stored: as one that works, or as one that nobody could test. */
function sayKept(result, { account, doubt }) {
  if (doubt) result.say("warning", t("key.saved_untested", { reason: reason(doubt) }));
  else result.say("good", `${t("key.saved")} ${works(account)}`);
}

/** Does something and says below it when it was refused. */
async function told(result, work) {
  try {
    await work();
  } catch (error) {
    result.say("problem", problemOf(error));
  }
}

/** How much is stored, and a way to be rid of it. */
function storedRow() {
  const [amount, result] = [h("span", { class: "sf-value" }), note()];
  let stored = null;
  const show = (answer) => {
    stored = answer;
    amount.textContent = answer.pictures ? t("stored.state", sizes(answer)) : t("stored.empty");
    amount.title = answer.directory;
    clear.disabled = !answer.pictures && !answer.requests;
  };
  const clear = button(
    t("stored.clear"),
    () =>
      told(result, async () => {
        if (!(await confirmed(t("stored.clear_title"), t("stored.clear_message", sizes(stored))))) return;
        show(await clearStored());
        result.say("good", t("stored.cleared"));
      }),
    { kind: "danger", disabled: true },
  );
  told(result, async () => {
    if ((await settings()).read_only) return;
    show(await getStored());
  });
  return h("div", { class: "sf-control" }, h("div", { class: "sf-line" }, amount, clear), result.element);
}

const sizes = ({ pictures, bytes }) => ({ n: pictures, size: formatBytes(bytes) });

/** The list of models: when it was asked for, and a way to ask now. */
function modelsRow() {
  const [when, result] = [h("span", { class: "sf-value" }), note()];
  const show = ({ refreshed_at: at }) =>
    (when.textContent = at ? t("models.at", { when: formatMoment(at, language()) }) : t("models.never"));
  const refresh = button(t("models.refresh"), () =>
    told(result, async () => {
      result.say("hint", t("models.refreshing"));
      const answer = await refreshModels();
      catalogue.accept(answer);
      show(answer);
      result.say("good", t("models.refreshed", modelCounts(answer)));
    }),
  );
  show(catalogue.current() ?? {});
  return h("div", { class: "sf-control" }, h("div", { class: "sf-line" }, when, refresh), result.element);
}

/** The rows are those of the settings that the server has: a script may be newer than the server. */
async function register() {
  const known = await settings().catch(() => null);
  definitions(known).forEach((definition) => app.ui.settings.addSetting(definition));
}

app.registerExtension({
  name: "SiliconFlow.Settings",
  setup() {
    follow();
    register();
  },
});
