/** Loads the style sheet, and the few colours that the frontends name differently. */

import { app } from "/scripts/app.js";

/** Newer frontends draw what is switched on in their own blue, older ones in that of their library. */
function accents() {
  const newer = getComputedStyle(document.body).getPropertyValue("--success-background").trim();
  return newer
    ? ["var(--primary-background)", "var(--base-foreground)"]
    : ["var(--p-primary-color)", "var(--p-primary-contrast-color)"];
}

app.registerExtension({
  name: "SiliconFlow.Style",
  init() {
    const link = document.createElement("link");
    Object.assign(link, { rel: "stylesheet", href: new URL("../style.css", import.meta.url).href });
    document.head.append(link);
  },
  setup() {
    const [accent, contrast] = accents();
    document.body.style.setProperty("--sf-accent", accent);
    document.body.style.setProperty("--sf-accent-contrast", contrast);
  },
});
