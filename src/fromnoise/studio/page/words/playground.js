// Words of the playground.
import { number } from "../dom.js";
import { WORDS as DRAWING } from "./drawing.js";
import { WORDS as RUN } from "./run.js";

const few = (labels) => (labels.length > 16 ? `${labels.slice(0, 16).join(", ")}, …` : labels.join(", "));
const of = ({ classes, conditions }) => [classes && `，类别 ${few([...new Set(classes)])}`, ...Object.entries(conditions || {}).map(([name, values]) => `，${name} ${few([...new Set(values)].map((value) => number(value)))}`)].filter(Boolean).join("");

export const WORDS = {
  en: {
    ...RUN.en, ...DRAWING.en, view: "Playground", controls: "How to sample", none: "There is no checkpoint yet; the first one is saved while the run trains.",
    drawing: "Drawing …", film: "Step of sampling", between: "From the first seed to the second", given: { vary: ["The training image"], inpaint: ["The image", "What is kept of it"] }, command: "The same in a terminal",
    took: (seconds, evaluations) => `${seconds.toFixed(2)} s${evaluations ? `, ${evaluations} network evaluations per image` : ""}`,
    from: (images, weights) => `weights ${weights} after ${images} images`, labels: (labels) => `classes ${few(labels)}`,
    images: "Samples of the chosen seeds", share: (share) => `Image at ${share} of the way`, step: (at, of) => `step ${at} of ${of}`,
    another: "Another", any: "each seed's own", averaged: "averaged (EMA)", raw: "raw", other_length: "average of another length",
    actions: { sample: "Sample", interpolate: "Interpolate", vary: "Vary an image", inpaint: "Inpaint" },
    own: "the image's own", condition: (name, least, most, mean) => `${name} (trained from ${least} to ${most}, mean ${mean})`, beyond: "beyond what was trained", edited: {}, paint_first: "Paint over a part of the image; what is painted is made again.", all_painted: "All of the image is painted; leave some of it, or sample.",
    made: "The image with the painted part made again, once for each seed", save: { mask: "Save the mask", image: "Save the image" },
    fields: {
      first: "First seed", second: "Second seed", image: "Number of the training image", source: "Image", number: "Number of the image", resample: "Passes of each step", strength: "Strength", num: "Images", label: "Class", steps: "Steps",
      sampler: "Sampler", grid: "Time grid", scale: "Guidance scale", low: "Guidance from time", high: "Guidance up to time", weights: "Weights",
      length: "Length of the average", checkpoint: "Checkpoint after images",
    },
  },
  zh: {
    ...RUN.zh, ...DRAWING.zh, view: "试验场", controls: "采样设置", none: "还没有检查点；训练过程中会保存第一个。",
    drawing: "正在生成……", film: "采样的第几步", between: "从第一个种子到第二个", given: { vary: ["训练图像"], inpaint: ["原图", "保留的部分"] }, command: "在终端里得到同样的结果",
    took: (seconds, evaluations) => `${seconds.toFixed(2)} 秒${evaluations ? `，每张图像计算网络 ${evaluations} 次` : ""}`,
    from: (images, weights) => `权重 ${weights}，看过 ${images} 张图像`, labels: (labels) => `类别 ${few(labels)}`,
    images: "所选种子的样本", share: (share) => `途中 ${share} 处的图像`, step: (at, of) => `第 ${at} 步，共 ${of} 步`,
    another: "换一个", any: "由种子决定", averaged: "平均权重（EMA）", raw: "原始权重", other_length: "其他长度的平均",
    actions: { sample: "采样", interpolate: "插值", vary: "改变图像", inpaint: "局部重绘" },
    own: "图像自己的", condition: (name, least, most, mean) => `${name}（训练范围 ${least} 到 ${most}，平均 ${mean}）`, beyond: "超出训练范围",
    edited: {
      interpolate: (facts) => of(facts).slice(1), vary: ({ strength, t, ...facts }) => `强度 ${strength}，从 t = ${t.toFixed(2)} 开始${of(facts)}`,
      inpaint: ({ inpainted, ...facts }) => `重绘了 ${(100 * inpainted).toFixed(1)}% 的像素${of(facts)}`,
    },
    paint_first: "请涂抹图像的一部分；涂抹的部分会重新生成。", all_painted: "整张图像都涂抹了；请留下一部分，或直接采样。",
    made: "重新生成了涂抹部分的图像，每个种子一张", save: { mask: "保存蒙版", image: "保存图像" },
    fields: {
      first: "起始种子", second: "第二个种子", image: "训练图像的编号", source: "图像", number: "图像编号", resample: "每步重复次数", strength: "强度", num: "张数", label: "类别", steps: "采样步数",
      sampler: "采样器", grid: "时间网格", scale: "引导强度", low: "引导起始时间", high: "引导终止时间", weights: "权重",
      length: "平均的长度", checkpoint: "检查点（已看图像数）",
    },
  },
};
