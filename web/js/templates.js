/** The pack's templates by titles in the page's language: ComfyUI shows the names of their files, and translates its own. */

/** @import { TextKey } from "./types" */

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { t } from "./page.js";
import { TEXTS } from "./texts.js";

/** What ComfyUI calls the pack: the folder that it is in. */
const PACK = decodeURIComponent(import.meta.url.split("/").at(-3) ?? "");
const FOLDER = `/workflow_templates/${PACK}/`;

/** The name of each template's file, by the title that was given for it. */
const files = new Map();

/** @param {string} file */
function titleOf(file) {
  const key = `template.${file.toLowerCase().replace(/\W+/g, "_")}`;
  const title = key in TEXTS.en ? t(/** @type {TextKey} */ (key)) : file;
  files.set(title, file);
  return title;
}

app.registerExtension({
  name: "SiliconFlow.Templates",
  init() {
    const { getWorkflowTemplates, apiURL } = api;
    api.getWorkflowTemplates = async () => {
      const templates = await getWorkflowTemplates.call(api);
      const ours = templates[PACK];
      return ours ? { ...templates, [PACK]: ours.map(titleOf) } : templates;
    };
    // The page asks for workflow and image by what it shows.
    api.apiURL = (route) => apiURL.call(api, route.startsWith(FOLDER) ? FOLDER + fileOf(route.slice(FOLDER.length)) : route);
  },
});

/** @param {string} name of a workflow with its ending, or of an image without it */
function fileOf(name) {
  const title = name.replace(/\.json$/, "");
  return (files.get(title) ?? title) + name.slice(title.length);
}
