// Images of the model's size as the server has them: base64 of uint8 (H, W, C).

export function encoded(array) {
  let text = "";
  for (let i = 0; i < array.length; i += 8192) text += String.fromCharCode(...array.subarray(i, i + 8192));
  return btoa(text);
}

/** What a canvas shows of pixels of a shape (C, H, W): grey, RGB or RGBA. */
export function imageData(text, [channels, height, width]) {
  const found = Uint8Array.from(atob(text), (one) => one.charCodeAt(0)), shown = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) shown.data[4 * i + c] = found[i * channels + (channels === 1 ? 0 : c)];
    shown.data[4 * i + 3] = channels === 4 ? found[4 * i + 3] : 255;
  }
  return shown;
}

/** The pixels, of so many channels, that a canvas shows. */
export function shownPixels({ data }, channels) {
  const found = new Uint8Array((data.length / 4) * channels);
  for (let i = 0; i < data.length / 4; i++) {
    const levels = data.subarray(4 * i, 4 * i + 4);
    if (channels === 1) found[i] = Math.round(0.299 * levels[0] + 0.587 * levels[1] + 0.114 * levels[2]);
    else found.set(levels.subarray(0, channels), i * channels);
  }
  return encoded(found);
}
