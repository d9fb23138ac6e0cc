// A photo with frames around faces; frames that can be chosen are buttons.

import { button, h } from "../core/dom.js";

/**
 * `frames`: [{bbox, kind, label, onChoose}]; bbox in pixels of the upright photo, `kind` is a class of photos.css, `label`
 * a message. `size`: {width, height} of the photo, when it is known; otherwise that of the image counts.
 */
export class FramedPhoto {
  constructor({ frames = [], alt = "", size = null } = {}) {
    this.image = h("img", { alt, decoding: "async", draggable: "false" });
    this.frames = frames;
    this.layer = h("span", { class: "frames" });
    this.element = h("span", { class: "framed" }, this.image, this.layer);
    this.image.addEventListener("load", () => this.#place(this.image.naturalWidth, this.image.naturalHeight));
    if (size?.width) this.#place(size.width, size.height);
  }

  /** Show the image at `url`; without one, only the frames. */
  show(url) {
    this.element.classList.toggle("empty", !url);
    if (url) this.image.src = url;
    else this.image.removeAttribute("src");
  }

  /** Show other frames. */
  setFrames(frames) {
    this.frames = frames;
    if (this.width) this.#place(this.width, this.height);
  }

  #place(width, height) {
    this.width = width;
    this.height = height;
    this.element.style.setProperty("--ratio", String(width / height));
    this.layer.replaceChildren(...this.frames.map((frame) => this.#frame(frame)));
    if (this.frames.length === 1) this.#zoomOn(this.frames[0].bbox);
  }

  #frame({ bbox: [x1, y1, x2, y2], kind = "match", label, onChoose }) {
    const element = onChoose
      ? button({ class: `frame ${kind}`, label, on: { click: onChoose } })
      : h("span", { class: `frame ${kind}` });
    element.style.left = percent(x1 / this.width);
    element.style.top = percent(y1 / this.height);
    element.style.width = percent((x2 - x1) / this.width);
    element.style.height = percent((y2 - y1) / this.height);
    return element;
  }

  /** Where the face is and how often it fits into a square view of the photo, for the view that shows faces only. */
  #zoomOn([x1, y1, x2, y2]) {
    const ratio = this.width / this.height;
    const across = ((x2 - x1) / this.width) * Math.min(1, ratio);
    const down = ((y2 - y1) / this.height) * Math.min(1, 1 / ratio);
    const style = this.element.style;
    style.setProperty("--face-x", String((x1 + x2) / 2 / this.width));
    style.setProperty("--face-y", String((y1 + y2) / 2 / this.height));
    style.setProperty("--zoom", String(Math.max(1, 0.6 / Math.max(across, down))));
  }
}

function percent(share) {
  return `${(share * 100).toFixed(3)}%`;
}
