/** Loads the style sheet, and the few colours that the frontends name differently. */

import { app } from "../../../scripts/app.js";

/** Newer frontends draw what is switched on in a blue of their own, older ones in that of their library. */
function accentColors() {
  const isNewer = getComputedStyle(document.body).getPropertyValue("--success-background").trim() !== "";
  return isNewer
    ? { accent: "var(--primary-background)", contrast: "var(--base-foreground)" }
    : { accent: "var(--p-primary-color)", contrast: "var(--p-primary-contrast-color)" };
}

app.registerExtension({
  name: "SiliconFlow.Style",
  init() {
    const link = document.createElement("link");
    Object.assign(link, { rel: "stylesheet", href: new URL("../style.css", import.meta.url).href });
    document.head.append(link);
  },
  setup() {
    const { accent, contrast } = accentColors();
    document.body.style.setProperty("--sf-accent", accent);
    document.body.style.setProperty("--sf-accent-contrast", contrast);
  },
});
