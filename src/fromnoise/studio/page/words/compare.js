// Words of the comparison.
import { WORDS as RUN } from "./run.js";

export const WORDS = {
  en: {
    ...RUN.en, view: "Compare", choose: "Choose two to six runs.", seeds: "The same seeds", drawing: "Drawing …",
    seeds_help: (n) => `Seeds 0 to ${n - 1} of each run at its newest checkpoint, sampled as the run samples. Runs of one image shape start from the same noise.`,
    fewer: (name, steps, own) => `${name} is sampled in ${steps} steps here, and takes ${own} itself.`,
    measures: "Measures", unmeasured: "Nothing was measured yet: run fromnoise evaluate RUN.", settings: "Settings that differ", equal: "All settings are the same.",
    units: "Losses of other predictions, weightings or processes have other units: compare how they fall, not how high they are.",
    left_side: "Left", right_side: "Right", border: "Where one image ends and the other begins",
  },
  zh: {
    ...RUN.zh, view: "比较", choose: "选择两到六个训练。", seeds: "同一批种子", drawing: "正在生成……",
    seeds_help: (n) => `每个训练最新检查点、种子 0 到 ${n - 1} 的样本，按各自的设置采样。图像形状相同的训练从同样的噪声出发。`,
    fewer: (name, steps, own) => `${name} 在这里用 ${steps} 步采样，它自己用 ${own} 步。`,
    measures: "指标", unmeasured: "还没有测量：请运行 fromnoise evaluate RUN。", settings: "不同的设置", equal: "所有设置都相同。",
    units: "预测、加权或过程不同，损失的单位也不同：比较下降的走势，而不是高低。",
    left_side: "左边", right_side: "右边", border: "两张图像的分界",
  },
};
