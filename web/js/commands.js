/** Commands and the menu. Their names are translated by locales/<language>/commands.json and main.json. */

import { app } from "/scripts/app.js";
import { refreshModels } from "./api.js";
import * as catalogue from "./catalogue.js";
import { toggleJobs } from "./jobs.js";
import { openKeyDialog } from "./key_dialog.js";
import { modelCounts } from "./logic/settings.js";
import { openSettings, reason, t, toast } from "./page.js";
import { TEXTS } from "./texts.js";

const COMMANDS = {
  SetKey: ["command.set_key", "pi pi-key", () => openKeyDialog()],
  ShowJobs: ["command.show_jobs", "pi pi-list", toggleJobs],
  RefreshModels: ["command.refresh_models", "pi pi-refresh", refresh],
  OpenSettings: ["command.open_settings", "pi pi-cog", openSettings],
};

async function refresh() {
  try {
    const answer = await refreshModels();
    catalogue.accept(answer);
    toast("success", t("models.toast"), t("models.refreshed", modelCounts(answer)));
  } catch (error) {
    toast("error", t("app.name"), reason(error));
  }
}

const idOf = (name) => `SiliconFlow.${name}`;

/** In the palette a command stands among all others, so its name begins with whose it is. */
function command([name, [key, icon, act]]) {
  return { id: idOf(name), icon, label: `SiliconFlow: ${TEXTS.en[key]}`, menubarLabel: TEXTS.en[key], function: act };
}

app.registerExtension({
  name: "SiliconFlow.Commands",
  commands: Object.entries(COMMANDS).map(command),
  menuCommands: [{ path: ["SiliconFlow"], commands: Object.keys(COMMANDS).map(idOf) }],
});
