// One photo of the base in the grid: its image with all faces framed, its status, its collection.

import { button, h } from "../core/dom.js";
import { FramedPhoto } from "../parts/framed_photo.js";
import { detailsOf, imageOf } from "./photo_source.js";

/** The frames of all faces of a photo. */
export function framesOf(photo) {
  return photo.faces.map((face) => ({ bbox: face.bbox, kind: face.status === "indexed" ? "indexed" : "detected" }));
}

/** `photo`: an item of /embed_status/. Its faces and its image are asked for when the card comes near the view. */
export class PhotoCard {
  constructor(photo, { onOpen }) {
    this.photo = photo;
    this.place = h("span", { class: "photo-place" });
    const open = button(
      {
        class: "card-photo",
        label: ["photos.open", { photo: photo.photo_id }],
        on: { click: () => onOpen(photo.photo_id) },
      },
      this.place,
    );
    this.element = h("li", { class: "card" }, open, this.#text());
  }

  /** Whether this card shows an item of the list as it is now. */
  shows(item) {
    return this.photo.photo_id === item.photo_id && this.photo.updated_at === item.updated_at;
  }

  /** Ask for the faces and show the image. */
  async load() {
    if (this.controller) return;
    this.controller = new AbortController();
    const { signal } = this.controller;
    try {
      const details = await detailsOf(this.photo.photo_id, signal);
      const image = await imageOf(details, signal);
      if (signal.aborted) return image.release();
      this.release = image.release;
      const framed = new FramedPhoto({ frames: framesOf(details), size: details });
      framed.show(image.url);
      const note = image.url ? null : h("span", { class: "no-link hint", say: "photos.no_link" });
      this.place.replaceChildren(framed.element, ...(note ? [note] : []));
    } catch {
      this.controller = null; // the card stays without an image; it is asked for again when it comes into view
    }
  }

  /** Release the image. */
  unload() {
    this.controller?.abort();
    this.controller = null;
    this.release?.();
    this.release = null;
    this.place.replaceChildren();
  }

  #text() {
    const { photo } = this;
    return h(
      "div",
      { class: "card-text" },
      h("span", { class: `badge ${photo.status}`, say: `status.${photo.status}` }),
      h("span", { say: ["photos.faces", { indexed: photo.faces_indexed, count: photo.faces_detected }] }),
      h("span", { class: "collection" }, photo.collection_id ?? ""),
    );
  }
}
