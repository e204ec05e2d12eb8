// Words of the form for a new run.
import { WORDS as DATA } from "./data.js";
import { WORDS as RUN } from "./run.js";

export const WORDS = {
  en: {
    ...RUN.en, view: "New run", lead: "It starts the ordinary command as a process of its own, which goes on when the studio is closed.",
    what: "What to train", takes: "What it takes", download: " (to download)", estimate: "Estimate", begin: "Begin", estimating: "Measuring a few steps …",
    beginning: "Beginning …", failed: "The training could not begin.", time: "Time", epochs: "Epochs", time_help: "such as 90s, 3m or 1.5h",
    fields: { data: "Images", recipe: "Recipe", length: "How long", seed: "Seed", name: "Name" },
    queue: "Queue", enqueue: "Add to the queue", leave: "Take out", queued: (name) => `${name} waits for its turn.`,
    queue_help: "These begin one after another, each when no training of this studio goes on. A queue ends with its studio.", queue_empty: "Nothing waits.",
    hint: "Estimate says here how long it takes and how much memory, before anything begins.",
    images_there: "Images", batch: "Batch size", to_train: "Images to see", takes_time: "Time", sets: {}, notes: DATA.en.notes, disk: "Disk", duplicates: "Repeated images", memory: "Memory",
  },
  zh: {
    ...RUN.zh, view: "新训练", lead: "它以独立进程启动普通的命令；关闭 studio 后训练照常进行。",
    what: "训练什么", takes: "需要多少", download: "（需下载）", estimate: "估计", begin: "开始", estimating: "正在试跑几步……",
    beginning: "正在开始……", failed: "训练无法开始。", time: "时间", epochs: "轮数", time_help: "例如 90s、3m 或 1.5h",
    fields: { data: "图像", recipe: "配方", length: "多久", seed: "种子", name: "名称" },
    queue: "队列", enqueue: "加入队列", leave: "移出", queued: (name) => `${name} 正在排队。`,
    queue_help: "它们一个接一个地开始：本 studio 没有训练在进行时，下一个就开始。studio 关闭后队列不再保留。", queue_empty: "没有排队的训练。",
    hint: "点“估计”会在开始之前在这里给出所需的时间和内存。",
    images_there: "图像数", batch: "批大小", to_train: "要看的图像数", takes_time: "用时",
    sets: {
      digits: (n) => `${n} 个手写数字，随 fromnoise 附带，放大到 16x16；无需下载`, mnist: (n) => `${n} 个手写数字，28x28 灰度`, fashion_mnist: (n) => `${n} 件服装，28x28 灰度`,
      kmnist: (n) => `${n} 个草书日文字符（Kuzushiji-MNIST），28x28 灰度`, cifar10: (n) => `${n} 张十类事物的照片，32x32 RGB（二进制版本）`,
    }, notes: DATA.zh.notes, disk: "磁盘", duplicates: "重复的图像", memory: "内存",
  },
};
