// Words of the table of runs.
export const WORDS = {
  en: {
    view: "Runs",
    count: (n) => (n === 1 ? "1 run" : `${n.toLocaleString("en")} runs`),
    below: (folder) => `In the folder ${folder}`,
    find: "Find a run", preview: "Preview",
    columns: {
      name: "Run", state: "State", data: "Data", images: "Images seen", seconds: "Time", loss: "Loss",
      validation: "Validation loss", distance: "Fréchet distance", accuracy: "Class accuracy", changed: "Last written",
    },
    none: "No run yet", begin: "Start one in a terminal; it appears here within a second.",
    left: (time) => `${time} left`, done: "Part of the training that is behind",
    measured: (n) => `of ${n} samples`,
    became: (name, state) => `${name}: ${state}`,
  },
  zh: {
    view: "训练列表",
    count: (n) => `${n.toLocaleString("zh-CN")} 个训练`,
    below: (folder) => `位于文件夹 ${folder}`,
    find: "查找训练", preview: "预览",
    columns: {
      name: "训练", state: "状态", data: "数据", images: "已看图像", seconds: "用时", loss: "损失",
      validation: "验证损失", distance: "Fréchet 距离", accuracy: "类别准确率", changed: "最近写入",
    },
    none: "还没有训练", begin: "在终端里启动一个，一秒之内就会出现在这里。",
    left: (time) => `剩余 ${time}`, done: "已完成的训练部分",
    measured: (n) => `按 ${n} 个样本测得`,
    became: (name, state) => `${name}：${state}`,
  },
};
