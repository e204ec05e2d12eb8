// Noise as shared_noise.py draws it: a hash of (seed, position), made normal by Box and Muller.
export const STREAMS = 1 << 20;

export function hashed(n) {
  n = Math.imul(n ^ (n >>> 16), 0x21f0aaad);
  n = Math.imul(n ^ (n >>> 15), 0x735a2d97);
  return (n ^ (n >>> 15)) >>> 0;
}

export function sharedNoise(seed, count, prior) {
  const start = hashed(seed >>> 0);
  const unit = (i) => (hashed((start + i) >>> 0) + 0.5) / 4294967296;
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const a = unit(2 * i);
    values[i] = prior === "uniform" ? a : Math.sqrt(-2 * Math.log(a)) * Math.cos(2 * Math.PI * unit(2 * i + 1));
  }
  return values;
}
