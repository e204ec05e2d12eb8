// Words of the tools' tab.
import { WORDS as RUN } from "./run.js";

export const WORDS = {
  en: {
    ...RUN.en, view: "Tools", groups: { look: "Look closer", measure: "How good it is", take: "Take it with you" }, in_report: "What they find stands in the report.",
    tools: { show: "Draw the figures", diagnose: "Diagnose", "evaluate-1000": "Measure 1,000 samples", "evaluate-10000": "Measure 10,000 samples", "export-html": "Export for the browser", "export-onnx": "Export as ONNX", "export-diffusers": "Export for diffusers" },
    about: {
      show: "Corruption, predictions, trajectories, nearest training images.", diagnose: "What is wrong, with measured numbers and advice; about a minute.",
      "evaluate-1000": "A quick look; values of different counts cannot be compared.", "evaluate-10000": "Fréchet distance, KID, precision and recall, copies, beside real images; minutes on a CPU.",
      "export-html": "One file that samples in any browser, offline.", "export-onnx": "The denoiser, with a page on how to sample from it.", "export-diffusers": "A folder for DiffusionPipeline, in the run's folder exports.",
    },
    tool_states: { running: "at work", done: "done", stopped: "stopped", failed: "failed" }, cancel: "Stop", prints: "What it prints",
  },
  zh: {
    ...RUN.zh, view: "工具", groups: { look: "仔细看看", measure: "质量如何", take: "带走模型" }, in_report: "结果在报告里。",
    tools: { show: "绘制图", diagnose: "诊断", "evaluate-1000": "测量 1,000 个样本", "evaluate-10000": "测量 10,000 个样本", "export-html": "导出到浏览器", "export-onnx": "导出 ONNX", "export-diffusers": "导出到 diffusers" },
    about: {
      show: "加噪过程、预测、轨迹、最近的训练图像。", diagnose: "哪里有问题，附测量数值和建议；约一分钟。",
      "evaluate-1000": "快速查看；数量不同的值不能比较。", "evaluate-10000": "Fréchet 距离、KID、精确率与召回率、复制率，与真实图像对照；CPU 上需几分钟。",
      "export-html": "一个文件，在任何浏览器里离线采样。", "export-onnx": "去噪网络，附采样说明。", "export-diffusers": "供 DiffusionPipeline 使用的文件夹，位于训练文件夹的 exports 里。",
    },
    tool_states: { running: "进行中", done: "完成", stopped: "已停止", failed: "失败" }, cancel: "停止", prints: "输出",
  },
};
