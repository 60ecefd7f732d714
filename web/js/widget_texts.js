/** What the nodes say of the chosen model, in both languages. Does nothing on import. */

export const WIDGET_TEXTS = {
  en: {
    unlisted: "This model is not in the list",
    missing: "Not on your account",
    new: "New model: every field is sent",
    elsewhere: { cn: "Only on the China site (.cn)", com: "Only on the international site (.com)" },
    unused: (name) => `${name} (unused)`,
  },
  zh: {
    unlisted: "列表中没有此模型",
    missing: "当前账户没有此模型",
    new: "新模型：全部参数都会发送",
    elsewhere: { cn: "仅国内站（.cn）提供", com: "仅国际站（.com）提供" },
    unused: (name) => `${name}（未使用）`,
  },
};
