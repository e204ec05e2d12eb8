// Words of the data's tab.
import { WORDS as RUN } from "./run.js";

export const WORDS = {
  en: {
    ...RUN.en, view: "Data", reading: "Reading the images …", images_title: "Training images", numbers: "In numbers", classes: "Images of each class", channels: "Pixel values",
    channel_columns: ["Channel", "Lowest", "Highest", "Mean", "Standard deviation"], all: "all", class_of: "Class", earlier: "Back", later: "On",
    page: (at, of) => `page ${at} of ${of}`, shown: (name, first, last) => `Training images ${first} to ${last}${name && ` of class ${name}`}`,
    counts: "Images", held_out: "Validation images", shape: "Trained on as", of_channels: (n) => (n === 1 ? "grey" : `${n} channels`), sizes: "Sizes as stored", modes: "Stored as",
    range: "Read as black to white", fingerprint: "Fingerprint", bad: (n) => (n === 1 ? "1 file cannot be read" : `${n} files cannot be read`),
  },
  zh: {
    ...RUN.zh, view: "数据", reading: "正在读取图像……", images_title: "训练图像", numbers: "概况", classes: "各类别的图像数", channels: "像素值",
    channel_columns: ["通道", "最小", "最大", "平均", "标准差"], all: "全部", class_of: "类别", earlier: "上一页", later: "下一页",
    page: (at, of) => `第 ${at} 页，共 ${of} 页`, shown: (name, first, last) => `训练图像 ${first} 到 ${last}${name && `，类别 ${name}`}`,
    counts: "图像数", held_out: "验证图像", shape: "训练时的形状", of_channels: (n) => (n === 1 ? "灰度" : `${n} 通道`), sizes: "存储的尺寸", modes: "存储的模式",
    range: "作为黑到白读取的值", fingerprint: "指纹", bad: (n) => `${n} 个文件无法读取`,
  },
};
