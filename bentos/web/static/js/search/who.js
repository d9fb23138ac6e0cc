// The panel that shows who is looked for, the selfie or a face, and the choice when a selfie shows several faces.

import { button, h, say } from "../core/dom.js";
import { fileButton, takeDrops, takePastes } from "../parts/dropping.js";
import { FramedPhoto } from "../parts/framed_photo.js";
import { takeSelfie } from "./camera.js";

/** `onFile` gets an image file; `onFace` the box that was chosen; `onLargest` is called for the largest face. */
export class Who {
  constructor({ onFile, onFace, onLargest, onBack }) {
    this.handlers = { onFile, onFace, onLargest };
    this.picture = h("div", { class: "who-picture" });
    this.note = h("p", { class: "who-note", role: "status" });
    this.choice = h("div", { class: "choice-place" });
    this.back = button({ class: "quiet", say: "search.back", hidden: true, on: { click: onBack } });
    const invitation = h("p", { class: "invitation", say: "search.drop" });
    const camera = button({ say: "search.camera", on: { click: () => this.#camera() } });
    const buttons = h(
      "div",
      { class: "buttons" },
      fileButton({ text: "search.choose", primary: true, onFiles: ([file]) => onFile(file) }),
      camera,
    );
    this.element = h("div", { class: "drop-zone who" }, this.picture, this.note, invitation, buttons, this.back);
    takeDrops(this.element, ([file]) => onFile(file));
    takePastes(this.element, onFile);
  }

  /** Show the selfie. */
  showSelfie(file) {
    URL.revokeObjectURL(this.url);
    this.url = URL.createObjectURL(file);
    this.#show(this.url, [], "search.selfie");
    say(this.note, "");
  }

  /** Frame the face of the selfie that was searched for. */
  frameSelfie(bbox) {
    this.photo.setFrames([{ bbox }]);
  }

  /** Show the face of a photo that is searched for. */
  showFace({ url, bbox, photo_id: photo }) {
    this.#show(url, [{ bbox }], "search.selfie");
    say(this.note, "search.face_of", { photo });
  }

  /** Let the person choose one of the faces in the selfie, in the element `choice`. */
  chooseFace(faces, count) {
    const frames = faces.map((face, place) => ({
      bbox: face.bbox,
      kind: "choice",
      label: ["search.face_number", { number: place + 1, of: faces.length }],
      onChoose: () => {
        this.choice.replaceChildren();
        this.handlers.onFace(face.bbox);
      },
    }));
    const photo = new FramedPhoto({ frames });
    say(photo.image, "search.selfie", {}, "alt");
    photo.show(this.url);
    const largest = button({ say: "search.largest", on: { click: () => this.handlers.onLargest() } });
    const text = h("p", { tabindex: "-1", role: "alert", say: ["search.several", { count }] });
    const large = h("div", { class: "photo-large" }, photo.element);
    this.choice.replaceChildren(h("div", { class: "choice" }, text, largest), large);
    text.focus();
  }

  #show(url, frames, alt) {
    this.choice.replaceChildren();
    this.photo = new FramedPhoto({ frames });
    say(this.photo.image, alt, {}, "alt");
    this.photo.show(url);
    this.picture.replaceChildren(this.photo.element);
    this.element.classList.add("filled");
  }

  async #camera() {
    const file = await takeSelfie();
    if (file) this.handlers.onFile(file);
  }
}
