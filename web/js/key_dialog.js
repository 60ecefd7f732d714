/** Asks for a key: where to make one, a field to paste it into, a test, then an offer to queue again. */

/** @import { Account, Settings, Site, TextKey } from "./types" */
/** @import { Dialog } from "./dialog.js" */

import { setKey, testKey } from "./api.js";
import { note } from "./controls.js";
import { openDialog } from "./dialog.js";
import { keyErrorText, keyField, testHops, unencryptedWarning } from "./key_field.js";
import { isUntested } from "./logic/settings.js";
import { KEY_PAGES, button, execute, h, icon, link, settingsErrorText, t } from "./page.js";
import { accept, settings } from "./settings_store.js";

/** @type {Dialog | null} */
let open = null;

/**
 * Why the dialog may open: the kinds of a run's failure, and what to say of them.
 * @type {Record<string, TextKey | undefined>}
 */
const REASONS = { MissingKey: "first.why", InvalidKey: "first.invalid" };

/**
 * @param {string} [kind] of a run's failure; left out where nothing failed
 * @param {Site} [site] chosen at first, instead of the one in use
 */
export async function openKeyDialog(kind = "", site) {
  if (open) return open.element.focus();
  const title = t(kind === "MissingKey" ? "first.title" : "first.change_title");
  const dialog = openDialog(title, () => (open = null));
  open = dialog;
  try {
    showForm(dialog, title, await settings(), REASONS[kind], site);
  } catch (error) {
    dialog.fill(title, h("p", { class: "sf-note sf-is-problem" }, settingsErrorText(error)));
  }
}

/**
 * @param {Dialog} dialog
 * @param {string} title
 * @param {Settings} known
 * @param {TextKey | undefined} why
 * @param {Site} [wanted]
 */
function showForm(dialog, title, known, why, wanted) {
  const lead = why && h("p", { class: "sf-lead" }, t(why));
  const obstacle = obstacleText(known);
  if (obstacle) {
    const close = button(t("action.close"), dialog.close, { kind: "primary" });
    return dialog.fill(title, lead, h("p", {}, obstacle), h("footer", {}, close));
  }
  const form = makeForm(dialog, known, Boolean(why), wanted);
  dialog.fill(
    title,
    lead,
    form.steps,
    h("p", { class: "sf-private" }, icon("lock"), " ", t("first.private")),
    form.result,
    form.footer,
  );
  form.field.focus();
}

/**
 * Why a key cannot be set here, or nothing.
 * @param {Settings} known
 */
function obstacleText(known) {
  if (known.read_only) return t("first.read_only");
  return known.key.source === "environment" ? t("key.from_environment", { name: known.key.variable }) : "";
}

/**
 * @param {Dialog} dialog
 * @param {Settings} known
 * @param {boolean} isAfterFailure
 * @param {Site} [wanted]
 */
function makeForm(dialog, known, isAfterFailure, wanted) {
  const result = note();
  const site = siteChoice(known, wanted);
  const field = keyField({ id: "sf-dialog-key", "aria-label": t("setting.key") }, () => save.click());
  /** @param {Account | null} account the result of the test, if it could be tested */
  const store = async (account) => {
    const { values } = await settings();
    // In one request: a key without its site, or the other way round, would be worse than neither.
    accept(await setKey(field.read(), site.read() === values.site ? undefined : site.read()));
    field.clear();
    showDone(dialog, account, isAfterFailure);
  };
  const testAndStore = async () => {
    saveAnyway.hidden = true;
    if (!field.read()) return result.say("problem", t("key.empty"));
    result.say("hint", t("action.testing"));
    await store(await testKey(field.read(), site.read()));
  };
  /** @param {() => Promise<void>} work */
  const reporting = async (work) => {
    try {
      await work();
    } catch (error) {
      result.say("problem", keyErrorText(error));
      if (work !== testAndStore || !isUntested(error)) return;
      saveAnyway.hidden = false;
      const hops = await testHops(field.read(), site.read()).catch(() => null);
      if (hops && !hops.passed) result.say("hint", hops.rows);
    }
  };
  const storeUntested = () => store(null);
  const saveAnyway = button(t("first.save_anyway"), () => reporting(storeUntested), { hidden: true });
  const save = button(t("first.save"), () => reporting(testAndStore), { kind: "primary" });
  const cancel = button(t("action.cancel"), dialog.close);
  /**
   * @param {string} title
   * @param {(Node | string | false)[]} content
   */
  const step = (title, ...content) => h("li", {}, h("strong", {}, title), h("div", {}, ...content));
  const steps = h(
    "ol",
    { class: "sf-steps" },
    step(t("first.step_account"), site.element),
    step(t("first.step_make"), t("first.step_make_text"), h("br"), site.link),
    step(t("first.step_paste"), field.element, unencryptedWarning()),
  );
  const footer = h("footer", {}, cancel, saveAnyway, save);
  return { steps, field: field.element, result: result.element, footer };
}

/**
 * Which of the two sites; where the environment's base URL decides, it only says so.
 * @param {Settings} known
 * @param {Site} [wanted]
 */
function siteChoice(known, wanted) {
  let chosen = (!known.fixed?.site && wanted) || known.values.site;
  const keyPage = link(KEY_PAGES[chosen]);
  /** @param {Site} site */
  const choose = (site) => {
    chosen = site;
    keyPage.href = KEY_PAGES[site];
    keyPage.textContent = KEY_PAGES[site].replace("https://", "");
  };
  const variable = known.fixed?.site;
  const element = variable
    ? h("p", { class: "sf-note" }, t("first.site_fixed", { name: variable, url: known.base_url }))
    : h(
        "div",
        { class: "sf-radios", role: "radiogroup", "aria-label": t("setting.site") },
        known.choices.site.map((site) => siteRadio(site, site === chosen, () => choose(site))),
      );
  return { element, link: keyPage, read: () => chosen };
}

/**
 * @param {Site} site
 * @param {boolean} checked
 * @param {() => void} onChoose
 */
function siteRadio(site, checked, onChoose) {
  return h(
    "label",
    {},
    h("input", { type: "radio", name: "sf-site", value: site, checked, onchange: onChoose }),
    h("span", {}, t(`site.${site}`), " ", h("small", {}, `siliconflow.${site}`)),
  );
}

/**
 * @param {Dialog} dialog
 * @param {Account | null} account
 * @param {boolean} isAfterFailure
 */
function showDone(dialog, account, isAfterFailure) {
  const opened = account && t("first.done_account", { n: account.models });
  const queueAgain = () => {
    dialog.close();
    execute("Comfy.QueuePrompt");
  };
  const queue =
    isAfterFailure && button(t("action.queue_again"), queueAgain, { kind: "primary", symbol: "play" });
  const close = button(t("action.close"), dialog.close, { kind: queue ? "secondary" : "primary" });
  dialog.fill(
    t("first.done_title"),
    h(
      "div",
      { class: "sf-done", role: "status" },
      h(
        "div",
        { class: account ? "sf-mark sf-is-good" : "sf-mark" },
        icon(account ? "check-circle" : "info-circle"),
      ),
      h(
        "div",
        {},
        h("p", {}, t(account ? "first.done" : "first.untested")),
        opened && h("p", { class: "sf-muted" }, opened),
      ),
    ),
    h("footer", {}, close, queue),
  );
  (queue || close).focus();
}
