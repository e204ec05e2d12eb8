// Words of the data's tab.
import { whole } from "../dom.js";
import { WORDS as RUN } from "./run.js";

const HOW = { squeezed: "压缩到", "short side": "按短边缩放并居中裁剪到", cropped: "缩放并居中裁剪到" };
const CONVERTED = {
  "1-bit image to grey": "张 1 位图像转为灰度", "CMYK image to RGB": "张 CMYK 图像转为 RGB", "YCbCr image to RGB": "张 YCbCr 图像转为 RGB", "HSV image to RGB": "张 HSV 图像转为 RGB",
  "palette image to RGB": "张调色板图像转为 RGB", "palette image to grey": "张调色板图像转为灰度", "16-bit grey image to 8 bits": "张 16 位灰度图像转为 8 位",
  "16-bit colour image to 8 bits": "张 16 位彩色图像转为 8 位", "16-bit colour image to its upper 8 bits": "张 16 位彩色图像取高 8 位",
  "floating-point image to 8 bits": "张浮点图像转为 8 位", "16-bit grey image with alpha to 8 bits": "张带透明度的 16 位灰度图像转为 8 位",
  "file with several frames, of which the first is used": "个多帧文件，只用第一帧", "image turned upright by EXIF": "张图像按 EXIF 转正",
  "grey image to RGB": "张灰度图像转为 RGB", "grey image to RGBA": "张灰度图像转为 RGBA", "colour image to grey": "张彩色图像转为灰度",
  "opaque image given full alpha": "张不透明图像补上透明通道", "transparent image laid over white": "张透明图像铺在白色上",
};

export const WORDS = {
  en: {
    ...RUN.en, view: "Data", reading: "Reading the images …", images_title: "Training images", numbers: "In numbers", classes: "Images of each class", channels: "Pixel values",
    channel_columns: ["Channel", "Lowest", "Highest", "Mean", "Standard deviation"], all: "all", class_of: "Class", earlier: "Back", later: "On",
    page: (at, of) => `page ${at} of ${of}`, shown: (name, first, last) => `Training images ${first} to ${last}${name && ` of class ${name}`}`,
    counts: "Images", held_out: "Validation images", shape: "Trained on as", of_channels: (n) => (n === 1 ? "grey" : `${n} channels`), sizes: "Sizes as stored", modes: "Stored as",
    range: "Read as black to white", full: "all that the files can hold", splits: {}, notes: {}, fingerprint: "Fingerprint", bad: (n) => (n === 1 ? "1 file cannot be read" : `${n} files cannot be read`),
  },
  zh: {
    ...RUN.zh, view: "数据", reading: "正在读取图像……", images_title: "训练图像", numbers: "概况", classes: "各类别的图像数", channels: "像素值",
    channel_columns: ["通道", "最小", "最大", "平均", "标准差"], all: "全部", class_of: "类别", earlier: "上一页", later: "下一页",
    page: (at, of) => `第 ${at} 页，共 ${of} 页`, shown: (name, first, last) => `训练图像 ${first} 到 ${last}${name && `，类别 ${name}`}`,
    counts: "图像数", held_out: "验证图像", shape: "训练时的形状", of_channels: (n) => (n === 1 ? "灰度" : `${n} 通道`), sizes: "存储的尺寸", modes: "存储的模式",
    range: "作为黑到白读取的值", full: "文件所能存储的全部值",
    splits: { train: "训练", test: "测试" },
    notes: {
      "all grey": ({ stored }) => `所有图像都是灰度，存储为 ${stored}；--set data.channels=1 按灰度读取`,
      "held out": ({ count, of }) => `没有测试集：从 ${whole(of)} 张图像中按固定种子留出 ${whole(count)} 张用于测量`,
      repeats: ({ exact, mirrored, different, of }) => `${[exact && `${whole(exact)} 张与另一张相同`, mirrored && `${whole(mirrored)} 张是另一张的镜像`].filter(Boolean).join("，")}；${whole(of)} 张中有 ${whole(different)} 张不同的图像`,
      resized: ({ how, smallest, largest, goal, chosen }) => `${smallest === largest ? `所有图像都是 ${smallest}` : `尺寸不一（${smallest} 到 ${largest}）`}：${HOW[how]} ${goal}${chosen ? "" : "；可用 --resolution 改变"}`,
      enlarged: ({ count, smallest }) => `${whole(count)} 张图像放大了两倍以上（最小的是 ${smallest}）`,
      converted: ({ parts }) => (parts.every(([what]) => CONVERTED[what]) ? `已转换：${parts.map(([what, times]) => `${whole(times)} ${CONVERTED[what]}`).join("；")}` : ""),
    }, fingerprint: "指纹", bad: (n) => `${n} 个文件无法读取`,
  },
};
