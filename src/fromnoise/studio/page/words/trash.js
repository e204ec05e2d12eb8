// Words of renaming and deleting runs.
export const WORDS = {
  en: {
    rename: "Rename", delete: "Delete", cancel: "Cancel",
    ask_name: (name) => `A new name for ${name}`, ask_delete: (name) => `Delete ${name}?`,
    kept: "It goes to the trash below the table of runs, and comes back from there.",
    trash: (n) => `Trash (${n})`, restore: "Put back", undo: (name) => `${name} is in the trash.`, restored: (name) => `${name} is back.`,
    trash_help: "These lie in the folder .trash; remove them there for good.",
  },
  zh: {
    rename: "重命名", delete: "删除", cancel: "取消",
    ask_name: (name) => `给 ${name} 起个新名字`, ask_delete: (name) => `删除 ${name}？`,
    kept: "它会移到训练列表下方的回收站，可以从那里放回。",
    trash: (n) => `回收站（${n}）`, restore: "放回", undo: (name) => `${name} 已移到回收站。`, restored: (name) => `${name} 已放回。`,
    trash_help: "它们在文件夹 .trash 里；要彻底删除，请到那里删除。",
  },
};
