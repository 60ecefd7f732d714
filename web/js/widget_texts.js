/** What the nodes say of the chosen model, in both languages; short, to fit a badge. Does nothing on import. */

export const WIDGET_TEXTS = {
  en: {
    unlisted: "not in the list",
    missing: "not on your account",
    new: "new model",
    elsewhere: { cn: ".cn only", com: ".com only" },
    /** @param {string} name */
    unused: (name) => `${name} (unused)`,
  },
  zh: {
    unlisted: "不在列表中",
    missing: "账户中没有",
    new: "新模型",
    elsewhere: { cn: "仅 .cn", com: "仅 .com" },
    /** @param {string} name */
    unused: (name) => `${name}（未使用）`,
  },
};
