// One found photo in the grid: the photo with its framed face, the score, the collection.

import { button, h } from "../core/dom.js";
import { Score } from "../core/i18n.js";
import { FramedPhoto } from "../parts/framed_photo.js";
import { scoreBadge } from "./score.js";

/** `onOpen` and `onMore` get the result; `freshLink` gives a new link to its image when the first one has expired. */
export class Card {
  constructor(result, { onOpen, onMore, freshLink }) {
    this.result = result;
    this.freshLink = freshLink;
    this.photo = new FramedPhoto({ frames: [{ bbox: result.bbox }] });
    this.photo.image.addEventListener("error", () => this.#retry());
    const open = button(
      {
        class: "card-photo",
        label: ["card.open", { photo: result.photo_id, score: new Score(result.score) }],
        on: { click: () => onOpen(result) },
      },
      this.photo.element,
    );
    const collection = h("span", { class: "collection" }, result.collection_id ?? "");
    const more = button({ class: "more", say: "card.more", on: { click: () => onMore(result) } });
    this.element = h("li", { class: "card" }, open, h("div", { class: "card-text" }, scoreBadge(result.score), collection), more);
  }

  /** Load the image; called when the card comes near the view. */
  load() {
    this.photo.show(this.result.url);
  }

  /** Release the image, which may be large; called when the card is far from the view. */
  unload() {
    this.photo.image.removeAttribute("src");
  }

  async #retry() {
    if (this.failed) return;
    this.failed = true;
    const url = await this.freshLink(this.result);
    if (url && url !== this.result.url) {
      this.result.url = url;
      this.failed = false;
      this.load();
    } else this.photo.show(null);
  }
}
