// Words of the report's tab.
import { WORDS as RUN } from "./run.js";

export const WORDS = {
  en: { ...RUN.en, view: "Report", about: "Drawn figures come from fromnoise show, measures from fromnoise evaluate, checks from fromnoise diagnose." },
  zh: { ...RUN.zh, view: "报告", about: "图由 fromnoise show 绘制，指标来自 fromnoise evaluate，检查来自 fromnoise diagnose。报告内容为英文。" },
};
