/** Commands and the menu. Their names are translated by locales/<language>/commands.json and main.json. */

/** @import { TextKey } from "./types" */

import { app } from "../../../scripts/app.js";
import { refreshModels } from "./api.js";
import * as catalogue from "./catalogue.js";
import { toggleJobs } from "./jobs.js";
import { openKeyDialog } from "./key_dialog.js";
import { modelCounts } from "./logic/settings.js";
import { sentence } from "./logic/text.js";
import { errorText, openSettings, t, toast } from "./page.js";
import { TEXTS } from "./texts.js";

/** @type {Record<string, [label: TextKey, icon: string, run: () => void | Promise<void>]>} */
const COMMANDS = {
  SetKey: ["command.set_key", "pi pi-key", () => openKeyDialog()],
  ShowJobs: ["command.show_jobs", "pi pi-list", toggleJobs],
  RefreshModels: ["command.refresh_models", "pi pi-refresh", refresh],
  OpenSettings: ["command.open_settings", "pi pi-cog", openSettings],
};

async function refresh() {
  try {
    const received = await refreshModels();
    catalogue.accept(received);
    toast("success", t("models.toast"), t("models.refreshed", modelCounts(received)));
  } catch (error) {
    toast("error", t("app.name"), errorText(error));
  }
}

app.registerExtension({
  name: "SiliconFlow.Commands",
  commands: Object.entries(COMMANDS).map(([name, [key, icon, run]]) => ({
    id: `SiliconFlow.${name}`,
    icon,
    label: `SiliconFlow: ${sentence(TEXTS, "en", key)}`, // the palette lists it among the commands of everybody
    menubarLabel: sentence(TEXTS, "en", key),
    function: run,
  })),
  menuCommands: [{ path: ["SiliconFlow"], commands: Object.keys(COMMANDS).map((name) => `SiliconFlow.${name}`) }],
});
