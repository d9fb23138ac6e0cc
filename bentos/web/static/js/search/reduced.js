// Makes a selfie smaller that is larger than the service takes.

import { settings } from "../core/settings.js";

const LONGER_SIDE = 2400;

/** The file itself when the service takes it, else a JPEG of 2400 pixels. Where the browser cannot read it: the file. */
export async function reduced(file) {
  if (file.size <= settings.search_max_bytes) return file;
  try {
    const image = await createImageBitmap(file);
    const scale = Math.min(1, LONGER_SIDE / Math.max(image.width, image.height));
    const canvas = new OffscreenCanvas(Math.round(image.width * scale), Math.round(image.height * scale));
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    image.close();
    const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 });
    return new File([blob], file.name, { type: "image/jpeg" });
  } catch {
    return file;
  }
}
