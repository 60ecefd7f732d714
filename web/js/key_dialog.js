/** Asks for a key: where to make one, a field to paste it into, a test, then an offer to queue again. */

import { setKey, testKey } from "./api.js";
import { note } from "./controls.js";
import { openDialog } from "./dialog.js";
import { keyField, problemOf, unencrypted } from "./key_field.js";
import { formatMoney } from "./logic/format.js";
import { isUntested } from "./logic/settings.js";
import { KEY_PAGES, button, h, icon, link, run, t, trouble } from "./page.js";
import { accept, settings } from "./state.js";

let open = null;

/** `kind` is why it opens: "MissingKey" or "InvalidKey" after a run that failed, else nothing failed. */
export async function openKeyDialog(kind = "") {
  if (open) return open.element.focus();
  open = openDialog(titleOf(kind), [], () => (open = null));
  const dialog = open;
  try {
    const known = await settings();
    showForm(dialog, known, kind);
  } catch (error) {
    dialog.fill(titleOf(kind), h("p", { class: "sf-note sf-is-problem" }, trouble(error)));
  }
}

const titleOf = (kind) => t(kind === "MissingKey" ? "first.title" : "first.change_title");

const whyOf = { MissingKey: "first.why", InvalidKey: "first.invalid" };

function showForm(dialog, known, kind) {
  const why = whyOf[kind] && h("p", { class: "sf-lead" }, t(whyOf[kind]));
  const barrier = barrierOf(known);
  if (barrier)
    return dialog.fill(
      titleOf(kind),
      why,
      h("p", {}, barrier),
      footer(button(t("action.close"), dialog.close, { kind: "primary" })),
    );
  const form = formOf(dialog, known, Boolean(whyOf[kind]));
  dialog.fill(
    titleOf(kind),
    why,
    form.steps,
    h("p", { class: "sf-private" }, icon("lock"), " ", t("first.private")),
    form.result.element,
    form.footer,
  );
  form.field.element.focus();
}

/** Why a key cannot be taken here, or nothing. */
function barrierOf(known) {
  if (known.read_only) return t("first.read_only");
  return known.key.source === "environment" ? t("key.from_environment", { name: "SILICONFLOW_API_KEY" }) : "";
}

function formOf(dialog, known, failed) {
  const result = note();
  const site = siteChoice(known);
  const field = keyField({ id: "sf-dialog-key", "aria-label": t("setting.key"), onEnter: () => save.click() });
  const keep = async (tested) => {
    await store(field, site);
    showDone(dialog, tested, failed);
  };
  const anyway = button(t("first.save_anyway"), () => refusable(result, () => keep(null)), { hidden: true });
  const save = button(t("first.save"), () => trying(), { kind: "primary" });
  const trying = () =>
    refusable(
      result,
      async () => {
        anyway.hidden = true;
        if (!field.read()) return result.say("problem", t("key.empty"));
        result.say("hint", t("action.testing"));
        await keep(await testKey(field.read(), site.read()));
      },
      (error) => (anyway.hidden = !isUntested(error)),
    );
  const cancel = button(t("action.cancel"), dialog.close);
  return { steps: stepsOf(site, field), field, result, footer: footer(cancel, anyway, save) };
}

/** In one step: a key without its site, or the other way round, would be worse than neither. */
async function store(field, site) {
  const { values } = await settings();
  accept(await setKey(field.read(), site.read() === values.site ? undefined : site.read()));
  field.clear();
}

function stepsOf(site, field) {
  const step = (title, ...content) => h("li", {}, h("strong", {}, title), h("div", {}, ...content));
  return h(
    "ol",
    { class: "sf-steps" },
    step(t("first.step_account"), site.element),
    step(t("first.step_make"), t("first.step_make_text"), h("br"), site.link),
    step(t("first.step_paste"), field.element, unencrypted()),
  );
}

/** Which of the two sites; where an address of the environment decides, it only says so. */
function siteChoice(known) {
  let chosen = known.values.site;
  const anchor = link(KEY_PAGES[chosen]);
  const choose = (site) => {
    chosen = site;
    anchor.href = KEY_PAGES[site];
    anchor.textContent = KEY_PAGES[site].replace("https://", "");
  };
  const variable = known.fixed?.site;
  const element = variable
    ? h("p", { class: "sf-note" }, t("first.site_fixed", { name: variable, url: known.base_url }))
    : h(
        "div",
        { class: "sf-radios", role: "radiogroup", "aria-label": t("setting.site") },
        known.choices.site.map((site) => radio(site, site === chosen, () => choose(site))),
      );
  return { element, link: anchor, read: () => chosen };
}

function radio(site, checked, onChoose) {
  const address = `siliconflow.${site}`;
  return h(
    "label",
    {},
    h("input", { type: "radio", name: "sf-site", value: site, checked, onchange: onChoose }),
    h("span", {}, t(`site.${site}`), " ", h("small", {}, address)),
  );
}

/** Does something; a refusal is said in the dialog, which stays. */
async function refusable(result, work, onRefusal) {
  try {
    await work();
  } catch (error) {
    result.say("problem", problemOf(error));
    onRefusal?.(error);
  }
}

const footer = (...buttons) => h("footer", {}, buttons);

function showDone(dialog, tested, failed) {
  const text = tested ? t("first.done") : t("first.untested");
  const account =
    tested && t("first.done_account", { name: tested.name, balance: formatMoney(tested.balance, tested.currency) });
  const queue =
    failed &&
    button(
      t("action.queue_again"),
      () => {
        dialog.close();
        run("Comfy.QueuePrompt");
      },
      { kind: "primary", symbol: "play" },
    );
  const close = button(t("action.close"), dialog.close, { kind: failed ? "secondary" : "primary" });
  const mark = h(
    "div",
    { class: tested ? "sf-mark sf-is-good" : "sf-mark" },
    icon(tested ? "check-circle" : "info-circle"),
  );
  dialog.fill(
    t("first.done_title"),
    h(
      "div",
      { class: "sf-done", role: "status" },
      mark,
      h("div", {}, h("p", {}, text), account && h("p", { class: "sf-muted" }, account)),
    ),
    footer(close, queue),
  );
  (queue || close).focus();
}
