// One photo of the base: its faces, and what can be done with each of them and with the photo.

import { ApiError, addFace, detectFaces, removeFaces } from "../core/api.js";
import { button, h, liveText, say } from "../core/dom.js";
import { Score } from "../core/i18n.js";
import { confirmed, openDialog } from "../parts/dialogs.js";
import { errorBox } from "../parts/errors.js";
import { FramedPhoto } from "../parts/framed_photo.js";
import { detailsOf, imageOf } from "./photo_source.js";

/** `onLookFor` gets a face to search for; `onChanged` is called when the dialogue is closed and something has changed. */
export class PhotoDialog {
  constructor(photoId, { onLookFor, onChanged }) {
    Object.assign(this, { photoId, onLookFor, changed: false });
    this.body = h("div", { class: "photo-dialog" });
    this.status = liveText({ class: "status" });
    this.footer = h("footer", {});
    this.dialog = openDialog(
      {
        title: "photo.title",
        wide: true,
        onClose: () => {
          this.image?.release();
          if (this.changed) onChanged();
        },
      },
      this.status,
      this.body,
      this.footer,
    );
    this.#show();
  }

  async #show() {
    try {
      this.photo = await detailsOf(this.photoId);
      this.image?.release();
      this.image = await imageOf(this.photo);
    } catch (error) {
      if (this.changed && error.code === "photo_not_found") this.dialog.close();
      else this.body.replaceChildren(errorBox(error, () => this.#show()));
      return;
    }
    const { photo } = this;
    const rows = photo.faces.map((face, place) => this.#row(face, place + 1));
    const framed = new FramedPhoto({ size: photo });
    framed.setFrames(
      photo.faces.map((face, place) => ({
        bbox: face.bbox,
        kind: face.status === "indexed" ? "indexed choice" : "detected choice",
        label: ["search.face_number", { number: place + 1, of: photo.faces.length }],
        onChoose: () => rows[place].querySelector("button").focus(),
      })),
    );
    say(framed.image, "photo.alt", { photo: photo.photo_id }, "alt");
    framed.show(this.image.url);
    this.body.replaceChildren(
      h("div", { class: "photo-large" }, framed.element),
      h(
        "div",
        { class: "photo-side" },
        this.image.url ? null : h("p", { class: "hint", say: "photos.no_image" }),
        this.#facts(),
        h("ol", { class: "faces", label: "photos.face_list" }, ...rows),
      ),
    );
    this.#buttons();
  }

  #facts() {
    const { photo } = this;
    const rows = [
      ["photo.id", h("dd", {}, photo.photo_id)],
      ["photo.collection", h("dd", {}, photo.collection_id ?? "–")],
      ["photo.status", h("dd", { say: `status.${photo.status}` })],
      ["photo.updated", h("dd", { say: ["photo.time", { time: new Date(photo.updated_at) }] })],
    ];
    return h("dl", {}, ...rows.flatMap(([term, value]) => [h("dt", { say: term }), value]));
  }

  #row(face, number) {
    const [x1, y1, x2, y2] = face.bbox;
    const indexed = face.status === "indexed";
    const parameters = { number, width: Math.round(x2 - x1), height: Math.round(y2 - y1), score: new Score(face.score) };
    const doing = indexed
      ? [
          button({ say: "photos.look_for", on: { click: () => this.#lookFor(face) } }),
          button({ class: "danger", say: "photos.remove_face", on: { click: () => this.#removeFace(face, number) } }),
        ]
      : [button({ say: "photos.index_face", on: { click: () => this.#do("photos.indexed", () => addFace({ face_id: face.face_id })) } })];
    return h(
      "li",
      {},
      h("span", { class: `badge ${indexed ? "indexed" : "detected"}`, say: `face.${face.status}` }),
      h("span", { say: ["photos.face", parameters] }),
      face.reason ? h("span", { class: "hint", say: `reason.${face.reason}` }) : null,
      h("span", { class: "buttons" }, ...doing),
    );
  }

  #buttons() {
    const { photo } = this;
    const missing = photo.faces.some((face) => face.status !== "indexed") || photo.status === "failed";
    const fields = { photo_id: photo.photo_id, index: true };
    const index = button({ say: "photos.index_all", on: { click: () => this.#do("photos.indexed", () => detectFaces(fields)) } });
    const clear = button({ class: "danger", say: "photos.remove_faces", on: { click: () => this.#remove(false) } });
    const purge = button({ class: "danger", say: "photos.purge", on: { click: () => this.#remove(true) } });
    index.hidden = !missing;
    clear.hidden = !photo.faces.length;
    this.footer.replaceChildren(index, clear, purge);
  }

  #lookFor(face) {
    this.dialog.close();
    this.onLookFor({ face_id: face.face_id, photo_id: this.photoId, bbox: face.bbox, url: this.image.url });
  }

  async #removeFace(face, number) {
    const question = ["photos.remove_face_question", { number }];
    if (await confirmed({ title: "photos.remove_face", question, yes: "photos.remove_face" })) {
      await this.#do("photos.removed", () => removeFaces(this.photoId, { face_id: face.face_id }));
    }
  }

  async #remove(purge) {
    const what = purge ? "photos.purge" : "photos.remove_faces";
    const question = [`${what}_question`, { count: this.photo.faces.length }];
    if (await confirmed({ title: what, question, yes: what })) {
      await this.#do("photos.removed", () => removeFaces(this.photoId, purge ? { purge } : {}));
    }
  }

  /** Run one call of the API, say what has come of it, and show the photo as it is now. */
  async #do(message, call) {
    say(this.status, "photos.working");
    try {
      await call();
      say(this.status, message);
    } catch (error) {
      say(this.status, "");
      this.body.prepend(errorBox(error instanceof ApiError ? error : new ApiError("unexpected", String(error))));
      return;
    }
    this.changed = true;
    await this.#show();
  }
}
