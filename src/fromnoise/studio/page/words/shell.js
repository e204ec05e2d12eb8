// Words that every view uses.
export const WORDS = {
  en: {
    other: "中文", dark: "Dark", light: "Light", skip: "Skip to content", views: "Views",
    nowhere: "There is no such view", back: "All runs", copy: "Copy", copied: "Copied",
    ended: "This run is not there any more: it was removed or renamed. The list of runs shows what there is.",
    offline: "The studio does not answer. Trainings go on without it; start it again with fromnoise studio.",
    states: { new: "not started", training: "training", stopped: "stopped", finished: "finished", failed: "failed" },
    images: "images seen", seconds: "seconds", loss: "loss", data: "Data table", reset: "Whole range",
    chart_help: "Arrow keys read values, + and - zoom, Escape shows the whole range.",
    loading: "Loading …",
  },
  zh: {
    other: "English", dark: "深色", light: "浅色", skip: "跳到正文", views: "视图",
    nowhere: "没有这个页面", back: "全部训练", copy: "复制", copied: "已复制",
    ended: "这个运行已不在：它被移除或改了名。运行列表里有现有的运行。",
    offline: "studio 没有响应。训练不受影响；请用 fromnoise studio 重新打开。",
    states: { new: "未开始", training: "训练中", stopped: "已停止", finished: "已完成", failed: "失败" },
    images: "已看过的图像数", seconds: "秒", loss: "损失", data: "数据表", reset: "显示全部",
    chart_help: "方向键读取数值，+ 和 - 缩放，Esc 显示全部。",
    loading: "正在载入……",
  },
};
