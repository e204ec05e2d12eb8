// Words of what is drawn and painted on.
export const WORDS = {
  en: {
    pad: "Draw here, or drop an image file.", file: "An image file", clear: "Clear", keys: "Arrow keys move, Space puts the pen down and up.", brush_keys: "Arrow keys move, Space puts the brush down and up, Control Z takes a stroke back.",
    too_large: (megabytes) => `The file has more than ${megabytes} MB; give a smaller one.`,
    resized: (from, to, cropped) => `The file is ${from}: ${cropped ? "resized and centre cropped" : "squeezed"} to ${to}.`,
    brush: "Paint over what is to be made again.", brush_size: "Size of the brush", brush_tools: "Brush",
    paint: "Paint", erase: "Erase", undo: "Undo", painted: (count, of) => `${count} of ${of} pixels painted`,
    hand: ({ x, y, down }) => `column ${x + 1}, row ${y + 1}${down ? ", brush down" : ""}`,
    sources: { training: "a training image", validation: "a validation image", drawn: "my own drawing or file" },
  },
  zh: {
    pad: "在这里画，或拖入一个图像文件。", file: "图像文件", clear: "清空", keys: "方向键移动，空格键落笔和抬笔。", brush_keys: "方向键移动，空格键落笔和抬笔，Ctrl+Z 撤销一笔。",
    too_large: (megabytes) => `文件超过 ${megabytes} MB；请换一个小的。`,
    resized: (from, to, cropped) => `文件为 ${from}：已${cropped ? "缩放并居中裁剪" : "压缩"}到 ${to}。`,
    brush: "涂抹要重新生成的部分。", brush_size: "笔刷大小", brush_tools: "笔刷",
    paint: "涂抹", erase: "擦除", undo: "撤销", painted: (count, of) => `已涂抹 ${count} 个像素，共 ${of} 个`,
    hand: ({ x, y, down }) => `第 ${x + 1} 列，第 ${y + 1} 行${down ? "，已落笔" : ""}`,
    sources: { training: "一张训练图像", validation: "一张验证图像", drawn: "自己画的或文件" },
  },
};
