// Words of the microscope.
import { WORDS as DRAWING } from "./drawing.js";
import { WORDS as RUN } from "./run.js";

const of = (label) => (label ? `, ${label}` : "");

export const WORDS = {
  en: {
    ...RUN.en, ...DRAWING.en, view: "Microscope", controls: "What lies under the microscope", none: "There is no checkpoint yet; the first one is saved while the run trains.", drawing: "Drawing …",
    another: "Another", own: "the image's own", any: "each seed's own",
    fields: { source: "Image", number: "Number", part: "Noise", seed: "Seed", label: "Class", first_sampler: "Sampler", second_sampler: "beside", steps: "Steps" },
    shown: { image: "the image", noisy: "with noise: what the network sees", prediction: "x0 prediction", average: "the mean image", noise: "the noise", predicted_noise: "predicted noise" },
    off: (error) => `, off by ${error} grey levels`, off_noise: (error) => `, off by ${error} standard deviations`,
    equation: (t, alpha, sigma, label) => `t = ${t}: ${alpha} times the image plus ${sigma} times the noise${label ? `; class ${label}` : ""}`,
    nearest: "Training images nearest to the prediction", neighbour: (n, label) => `Training image ${n}${of(label)}`, distance: (n, distance, label) => `${n}${of(label)}: ${distance} grey levels`,
    walk: "Step by step from the same noise", step_of: "Step", step: (at, last) => (at ? `after step ${at} of ${last}` : `the noise, before the first of ${last} steps`), at: (t) => `x at t = ${t}`,
    heading: "x0 prediction that the step moves towards", evaluations: (n) => `${n} network evaluations`,
  },
  zh: {
    ...RUN.zh, ...DRAWING.zh, view: "显微镜", controls: "显微镜下是什么", none: "还没有检查点；训练过程中会保存第一个。", drawing: "正在生成……",
    another: "换一个", own: "图像自己的", any: "由种子决定",
    fields: { source: "图像", number: "编号", part: "噪声", seed: "种子", label: "类别", first_sampler: "采样器", second_sampler: "对照", steps: "步数" },
    shown: { image: "原图", noisy: "加了噪声：网络看到的", prediction: "x0 预测", average: "平均图像", noise: "噪声", predicted_noise: "预测的噪声" },
    off: (error) => `，误差 ${error} 灰阶`, off_noise: (error) => `，误差 ${error} 个标准差`,
    equation: (t, alpha, sigma, label) => `t = ${t}：${alpha} 倍的图像加 ${sigma} 倍的噪声${label ? `；类别 ${label}` : ""}`,
    nearest: "与预测最接近的训练图像", neighbour: (n, label) => `训练图像 ${n}${of(label)}`, distance: (n, distance, label) => `${n}${of(label)}：${distance} 灰阶`,
    walk: "从同样的噪声一步一步走", step_of: "步", step: (at, last) => (at ? `第 ${at} 步之后，共 ${last} 步` : `噪声，共 ${last} 步之前`), at: (t) => `t = ${t} 时的 x`,
    heading: "这一步所趋向的 x0 预测", evaluations: (n) => `网络计算 ${n} 次`,
  },
};
