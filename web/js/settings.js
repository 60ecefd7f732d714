/** The pack's page in ComfyUI's settings dialog. ComfyUI's own settings file holds nothing of it. */

/** @import { Account, Catalogue, Settings, Stored, TextKey } from "./types" */
/** @import { Note } from "./controls.js" */

import { app } from "../../../scripts/app.js";
import { clearStored, deleteKey, getStored, refreshModels, setKey, testKey } from "./api.js";
import { refreshBalance } from "./balance.js";
import * as catalogue from "./catalogue.js";
import { choiceFor, note, numberFor, switchFor } from "./controls.js";
import { keyErrorText, keyField, testHops, unencryptedWarning } from "./key_field.js";
import { formatBytes, formatMoment } from "./logic/format.js";
import { MountedElements } from "./logic/mounted.js";
import { isUntested, modelCounts } from "./logic/settings.js";
import { sentence } from "./logic/text.js";
import {
  KEY_PAGES,
  button,
  confirmed,
  errorText,
  h,
  language,
  link,
  settingsErrorText,
  t,
  withElements,
} from "./page.js";
import { accept, follow, settings, watch } from "./settings_store.js";
import { TEXTS } from "./texts.js";

/** @param {Settings} known */
const currencyOf = (known) => t(known.values.site === "com" ? "unit.USD" : "unit.CNY");

/**
 * Group by group, row by row, as they are shown: [name, what renders it].
 * @satisfies {Record<string, [name: string, render: (id: string) => HTMLElement][]>}
 */
const GROUPS = {
  account: [
    ["key", keyRow],
    ["site", (id) => choiceFor("site", id, (site) => t(/** @type {TextKey} */ (`site.${site}`)))],
    ["show_balance", (id) => switchFor("show_balance", id)],
  ],
  models: [["refresh", modelsRow]],
  pictures: [
    ["upload_format", (id) => choiceFor("upload_format", id, (format) => t(/** @type {TextKey} */ (`format.${format}`)))],
    ["upload_side", (id) => numberFor("upload_side", id, () => t("unit.pixels"), { whole: true })],
  ],
  requests: [
    ["max_parallel", (id) => numberFor("max_parallel", id, null, { whole: true, aboveZero: true })],
    ["longest_wait", (id) => numberFor("longest_wait", id, () => t("unit.seconds"), { aboveZero: true })],
    ["background", (id) => switchFor("background", id)],
    ["background_runs", (id) => numberFor("background_runs", id, null, { whole: true, aboveZero: true })],
    ["visible_watermark", (id) => switchFor("visible_watermark", id)],
    ["native_batch", (id) => switchFor("native_batch", id)],
  ],
  stored: [
    ["reuse", (id) => switchFor("reuse", id)],
    ["stored", storedRow],
    ["ledger_days", (id) => numberFor("ledger_days", id, () => t("unit.days"), { aboveZero: true })],
    ["ledger_gib", (id) => numberFor("ledger_gib", id, () => t("unit.gib"), { aboveZero: true })],
  ],
  spending: [
    ["show_price", (id) => switchFor("show_price", id)],
    ["confirm_images", (id) => numberFor("confirm_images", id, null, { whole: true })],
    ["confirm_cost", (id) => numberFor("confirm_cost", id, currencyOf)],
    ["auto_run_images", (id) => numberFor("auto_run_images", id, null, { whole: true })],
    ["daily_budget", (id) => numberFor("daily_budget", id, currencyOf)],
    ["monthly_budget", (id) => numberFor("monthly_budget", id, currencyOf)],
    ["unknown_price", (id) => numberFor("unknown_price", id, currencyOf)],
    ["most_pictures", (id) => numberFor("most_pictures", id, null, { whole: true })],
  ],
};

/** Rows that show more than the value of a setting. */
const MORE_THAN_A_VALUE = new Set(["key", "refresh", "stored"]);

/**
 * The rows for ComfyUI, which sorts by `sortOrder`, the highest first, and translates by locales/. They are those
 * of the settings that the server has: a script may be newer than the server.
 * @param {Settings | null} known
 */
function definitions(known) {
  const rows = Object.entries(GROUPS)
    .flatMap(([group, list]) => list.map(([name, render]) => ({ group, name, render })))
    .filter(({ name }) => !known || MORE_THAN_A_VALUE.has(name) || name in known.values);
  return rows.map(({ group, name, render }, at) => ({
    id: `SiliconFlow.${name}`,
    name: sentence(TEXTS, "en", `setting.${name}`),
    tooltip: sentence(TEXTS, "en", `setting.${name}.tip`),
    category: ["SiliconFlow", sentence(TEXTS, "en", `group.${group}`), name],
    type: () => render(`SiliconFlow.${name}`),
    defaultValue: null,
    sortOrder: rows.length - at,
  }));
}

/**
 * The key: write-only. All that is shown of it is what the server tells, its last four characters.
 * @param {string} id
 */
function keyRow(id) {
  const [state, result, warning] = [note(), note(), unencryptedWarning()];
  const field = keyField({ name: "key", "aria-labelledby": `${id}-label` }, () => save.click());
  const save = button(t("action.save"), () => reporting(result, saveKey), { kind: "primary" });
  const test = button(t("action.test"), () => reporting(result, runTest));
  const remove = button(t("action.delete"), () => reporting(result, removeKey), { kind: "danger" });
  const saveKey = async () => {
    const key = field.read();
    if (!key) return result.say("problem", t("key.empty"));
    result.say("hint", t("action.testing"));
    const known = await settings();
    try {
      /** @type {Account | null} */
      let account = null;
      let doubt = "";
      try {
        account = await testKey(key, known.values.site);
      } catch (error) {
        if (!isUntested(error)) throw error;
        doubt = errorText(error);
      }
      accept(await setKey(key));
      field.clear();
      if (account) result.say("good", `${t("key.saved")} ${worksText(account)}`);
      else result.say("warning", t("key.saved_untested", { reason: doubt }));
    } catch (error) {
      const consequence = t(known.key.is_set ? "key.not_replaced" : "key.not_saved");
      result.say("problem", `${keyErrorText(error)}\n${consequence}`);
    }
  };
  const runTest = async () => {
    result.say("hint", t("action.testing"));
    const known = await settings();
    result.say("hint", (await testHops(field.read(), known.values.site)).rows);
    if (!field.read()) await refreshBalance();
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
  watch(root, (known, error) => {
    if (!known) return state.say("problem", settingsErrorText(error));
    const { key, read_only } = known;
    const isFixed = key.source === "environment";
    field.element.disabled = save.disabled = read_only || isFixed;
    if (warning) warning.hidden = field.element.disabled;
    remove.hidden = !key.is_set || isFixed || read_only;
    test.disabled = read_only && !key.is_set;
    state.say("hint", keyState(known));
  });
  return root;
}

/**
 * Which key is in use, and who decides it.
 * @param {Settings} known
 */
function keyState({ key, values, read_only }) {
  /** @type {(string | Node)[]} */
  const content = [];
  if (!key.is_set) content.push(...withElements(t("key.none"), { link: link(KEY_PAGES[values.site]) }));
  else content.push(key.last4 ? t("key.in_use", { last4: key.last4 }) : t("key.in_use_hidden"));
  if (key.source === "environment")
    content.push(h("br"), t("key.from_environment", { name: key.variable }));
  if (read_only) content.push(h("br"), t("settings.read_only"));
  return content;
}

/** @param {Account} account */
const worksText = ({ models }) => t("key.works", { n: models });

/**
 * Does something, and says below it if that fails.
 * @param {Note} result
 * @param {() => Promise<void>} work
 */
async function reporting(result, work) {
  try {
    await work();
  } catch (error) {
    result.say("problem", keyErrorText(error));
  }
}

/** How much is stored, and a button that clears it. */
function storedRow() {
  const [amount, result] = [h("span", { class: "sf-value" }), note()];
  /** @type {Stored | null} */
  let stored = null;
  /** @param {Stored} received */
  const show = (received) => {
    stored = received;
    amount.textContent = stored.pictures ? t("stored.state", sizes(stored)) : t("stored.empty");
    amount.title = stored.directory;
    clear.disabled = !stored.pictures && !stored.requests;
  };
  const clearAll = async () => {
    if (!stored) return;
    if (!(await confirmed(t("stored.clear_title"), t("stored.clear_message", sizes(stored))))) return;
    show(await clearStored());
    result.say("good", t("stored.cleared"));
  };
  const clear = button(t("stored.clear"), () => reporting(result, clearAll), { kind: "danger", disabled: true });
  reporting(result, async () => {
    if ((await settings()).read_only) return;
    show(await getStored());
  });
  return h("div", { class: "sf-control" }, h("div", { class: "sf-line" }, amount, clear), result.element);
}

/** @param {Stored} stored */
const sizes = ({ pictures, bytes }) => ({ n: pictures, size: formatBytes(bytes) });

/**
 * The rows that say when the list of models was fetched.
 * @type {MountedElements<(known: Catalogue) => void>}
 */
const modelRows = new MountedElements();

/** When the list of models was fetched, and a button that fetches it now. */
function modelsRow() {
  const [when, result] = [h("span", { class: "sf-value" }), note()];
  /** @param {Catalogue | null} known */
  const show = (known) => {
    const at = known?.refreshed_at;
    when.textContent = at ? t("models.at", { when: formatMoment(at, language()) }) : t("models.never");
  };
  const refresh = async () => {
    result.say("hint", t("models.refreshing"));
    const received = await refreshModels();
    catalogue.accept(received);
    result.say("good", t("models.refreshed", modelCounts(received)));
  };
  show(catalogue.current());
  const root = h(
    "div",
    { class: "sf-control" },
    h("div", { class: "sf-line" }, when, button(t("models.refresh"), () => reporting(result, refresh))),
    result.element,
  );
  modelRows.add(root, show);
  return root;
}

async function register() {
  const known = await settings().catch(() => null);
  for (const definition of definitions(known)) app.ui.settings.addSetting(definition);
}

app.registerExtension({
  name: "SiliconFlow.Settings",
  setup() {
    follow();
    catalogue.onChange((known) => modelRows.forEach((show) => show(known)));
    register(); // not awaited: the page would wait for it
  },
});
