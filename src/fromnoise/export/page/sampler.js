// Sampling by a plan: tables of weights, made by plan.py, around a network that onnxruntime evaluates.
import { STREAMS, sharedNoise } from "./noise.js";

/** A model: about (the page's JSON) and a session of onnxruntime-web. One evaluation runs at a time. */
export class Model {
  constructor(about, ort, session) {
    Object.assign(this, { about, ort, session });
    this.size = about.shape.reduce((a, b) => a * b, 1);
    this.queue = Promise.resolve();
  }

  noise(seed) {
    return sharedNoise(seed, this.size, this.about.prior);
  }

  /** x0 of x (Float32Array) at one row of a table {code, input_scale, x_weight, out_weight}, guided by `scale`, which
   * some networks take as an input; label: a class, the number of classes for none, null where there are no classes. */
  async denoise(at, x, label, scale) {
    const none = this.about.classes.length, guided = at.guided && label !== null && label !== none && scale !== 1;
    const two = guided && !this.about.guidance_most;
    const [first, second] = await this.evaluate(at, x, two ? [label, none] : [label], guided ? scale : 1);
    const range = this.about;
    const x0 = new Float32Array(this.size);
    for (let i = 0; i < this.size; i++) {
      const one = at.x_weight * x[i] + at.out_weight * first[i];
      const other = two ? at.x_weight * x[i] + at.out_weight * second[i] : one;
      const value = two ? other + scale * (one - other) : one;
      x0[i] = range.clip ? Math.min(Math.max(value, range.low), range.high) : value;
    }
    return x0;
  }

  async evaluate(at, x, labels, scale) {
    const count = labels.length, { Tensor } = this.ort;
    const batch = new Float32Array(count * this.size);
    for (let b = 0; b < count; b++) for (let i = 0; i < this.size; i++) batch[b * this.size + i] = at.input_scale * x[i];
    const feeds = {
      x: new Tensor("float32", batch, [count, ...this.about.shape]),
      code: new Tensor("float32", new Float32Array(count).fill(at.code), [count]),
    };
    if (this.about.guidance_most) {
      feeds.label = new Tensor("float32", Float32Array.from(labels.flatMap((label) => [label, scale])), [count, 2]);
    } else if (this.about.classes.length) {
      feeds.label = new Tensor("int64", BigInt64Array.from(labels.map((label) => BigInt(label))), [count]);
    }
    const turn = this.queue.then(() => this.session.run(feeds));
    this.queue = turn.catch(() => {});
    const out = (await turn).out.data;
    return labels.map((_, b) => out.subarray(b * this.size, (b + 1) * this.size));
  }

  /** Yields {x, x0, t, size, step} after each evaluation that ends a step, the image last; size: of x, see `sizeAt`. */
  async *sample({ seed, label, steps, scale }) {
    const plan = this.about.plans[steps], { alpha, sigma } = this.about.inpainting[steps];
    const noise = this.noise(seed);
    const fresh = plan.fresh_steps.map((_, i) => this.noise(seed + STREAMS * (i + 1)));
    const found = [];
    let step = 0;
    for (const [k, at] of plan.evaluations.entries()) {
      found.push(await this.denoise(at, combine(at.x, noise, found, fresh), label, scale));
      while (step < plan.steps && plan.made[step] === k + 1) {
        const x = combine(plan.step_ends[step], noise, found, fresh), size = sizeAt(alpha[step + 1], sigma[step + 1]);
        yield { x, x0: found[k], t: plan.times[step + 1], size, step: ++step };
      }
    }
  }

  /**
   * Inpainting as diffusion/editing.py does it, by RePaint (Lugmayr et al. 2022): yields {x, x0, step} after each step.
   * known: the image, as x. open: 1 where a pixel is to be completed. passes: how often each step is taken.
   */
  async *inpaint({ known, open, seed, label, steps, passes, scale }) {
    const { steps: walk, alpha, sigma } = this.about.inpainting[steps], noise = this.noise(seed);
    const area = open.length, start = { noise: sigma[0], x0: [], fresh: [] };
    const kept = (x, i, eps) => x.map((v, p) => (open[p % area] ? v : alpha[i] * known[p] + sigma[i] * eps[p]));
    let x = kept(combine(start, noise, [], []), 0, noise);
    for (const [i, { evaluations, end }] of walk.entries()) {
      const rounds = sigma[i + 1] > 0 ? passes : 1;
      let found;
      for (let again = 0; again < rounds; again++) {
        const draw = (kind) => this.noise(seed + STREAMS * (1 + 3 * (i * passes + again) + kind));
        const fresh = end.fresh.length ? [draw(0)] : [];
        found = [];
        for (const at of evaluations) found.push(await this.denoise(at, combine(at.x, x, found, fresh), label, scale));
        x = kept(combine(end, x, found, fresh), i + 1, draw(1));
        if (again === rounds - 1) break;
        const ratio = alpha[i] / alpha[i + 1], z = draw(2);
        const added = Math.sqrt(Math.max(sigma[i] ** 2 - (ratio * sigma[i + 1]) ** 2, 0));
        x = x.map((v, p) => ratio * v + added * z[p]);
      }
      yield { x, x0: found[0], step: i + 1 };
    }
  }
}

/** noise z + sum_j x0[j] x0_j + sum_i fresh[i] z_i */
export function combine(weights, noise, x0, fresh) {
  const total = Float32Array.from(noise, (value) => weights.noise * value);
  const add = (weight, image) => {
    if (weight) for (let i = 0; i < total.length; i++) total[i] += weight * image[i];
  };
  weights.x0.forEach((weight, j) => x0[j] && add(weight, x0[j]));
  weights.fresh.forEach((weight, j) => fresh[j] && add(weight, fresh[j]));
  return total;
}

/** By how much x is larger than an image where noise is added to it, as on VE; it is shown scaled down by that. */
export const sizeAt = (alpha, sigma) => Math.max(1, Math.hypot(alpha, sigma));

/** The pixels of x / size as ImageData: grey, RGB or RGBA, clipped as a run's own samples are. */
export function pixels(about, x, size = 1) {
  const [channels, height, width] = about.shape, area = height * width;
  const image = new ImageData(width, height);
  const byte = (v) => Math.round(255 * Math.min(Math.max((v / size - about.low) / (about.high - about.low), 0), 1));
  for (let i = 0; i < area; i++) {
    for (let c = 0; c < 4; c++) {
      const from = channels === 1 ? (c < 3 ? 0 : -1) : c < channels ? c : -1;
      image.data[4 * i + c] = from < 0 ? 255 : byte(x[from * area + i]);
    }
  }
  return image;
}
