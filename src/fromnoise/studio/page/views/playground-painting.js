// What is inpainted: an image of the run, drawn or dropped, and the brush over it.
import { ask } from "../api.js";
import { h } from "../dom.js";
import { Brush } from "./brush.js";
import { Pad, takesFiles } from "./microscope-pad.js";

export class Painting {
  /** changed: called after a stroke; dropped: called before a file is taken, for the controls to choose what is drawn. */
  constructor(shape, words, place, signal, changed, dropped) {
    Object.assign(this, { place, signal, shown: "" });
    this.pad = new Pad(shape, words, place, signal, () => { this.shown = ""; changed(); });
    this.brush = new Brush(shape, words, changed);
    takesFiles(this.brush.canvas, (file) => { dropped(); this.pad.box.hidden = false; this.pad.take(file); });
    this.pad.box.hidden = true;
    this.box = h("div", { class: "painting", hidden: true }, this.pad.box, this.brush.box);
  }

  /** Show the chosen image below the brush; gives what of the wish is painted. */
  async ready(source, number) {
    this.pad.box.hidden = source !== "drawn";
    const wanted = `${source} ${source === "drawn" ? "" : number}`, drawn = source === "drawn";
    if (drawn) this.brush.over(this.pad.pixels());
    else if (wanted !== this.shown) this.brush.over((await ask(`${this.place}/image?${new URLSearchParams({ source, number })}`, { signal: this.signal })).pixels);
    this.shown = wanted;
    return { source, number: drawn ? 0 : number, pixels: drawn ? this.pad.pixels() : "", mask: this.brush.content() };
  }
}
