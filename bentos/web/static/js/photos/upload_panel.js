// The panel for adding photos: files or a folder in, progress and a reason for each that was left out.

import { button, h, newId, say } from "../core/dom.js";
import { translate } from "../core/i18n.js";
import { knownCollections, remember } from "../parts/collections.js";
import { fileButton, takeDrops } from "../parts/dropping.js";
import { errorMessage } from "../parts/errors.js";
import { keepFile } from "./photo_source.js";
import { UploadQueue } from "./upload_queue.js";

const MOST_LINES = 200;
const NOT_SENT = /(^\.|\.(txt|json|csv|xml|md|db|ini)$)/i;
const LEFT_OUT = "upload.left_out_reason";

/** `onPhotos` is called while photos are added, at most every two seconds, and with `true` at the end. */
export class UploadPanel {
  constructor({ onPhotos }) {
    this.onPhotos = onPhotos;
    this.progress = h("progress", { max: "1", value: "0", label: "upload.progress" });
    this.text = h("p", { role: "status", class: "upload-text" });
    this.stop = button({ class: "quiet", say: "upload.stop", on: { click: () => this.queue.stop() } });
    this.bar = h("div", { class: "upload-bar", hidden: true }, this.progress, this.text, this.stop);
    this.lines = h("ul", {});
    this.count = h("summary", {});
    this.leftOut = h("details", { class: "left-out", hidden: true }, this.count, this.lines);
    this.element = this.#panel();
    this.#begin();
    takeDrops(this.element, (files) => this.#add(files));
  }

  /** Count from zero: files that are added after all others are done are a new upload. */
  #begin() {
    this.queue = new UploadQueue({ onChange: () => this.#changed() });
    this.reported = 0;
    this.facesFound = 0;
    this.facesIndexed = 0;
    this.seenDone = 0;
    this.seenLeftOut = 0;
    this.linesInAll = 0;
    this.lines.replaceChildren();
    this.leftOut.hidden = true;
  }

  #panel() {
    const id = newId("upload-collection");
    const indexId = newId("upload-index");
    this.collection = h("input", { id, list: knownCollections(), autocomplete: "off", spellcheck: "false" });
    this.index = h("input", { id: indexId, type: "checkbox", checked: true });
    const onFiles = (files) => this.#add(files);
    return h(
      "div",
      { class: "drop-zone upload" },
      h("p", { class: "invitation", say: "upload.drop" }),
      h(
        "div",
        { class: "buttons" },
        fileButton({ text: "upload.choose_files", multiple: true, primary: true, onFiles }),
        fileButton({ text: "upload.choose_folder", multiple: true, folder: true, onFiles }),
      ),
      h("div", { class: "field" }, h("label", { for: id, say: "upload.collection" }), this.collection),
      h("label", { class: "check", for: indexId }, this.index, h("span", { say: "upload.index" })),
      this.bar,
      this.leftOut,
    );
  }

  #add(files) {
    const wanted = files.filter((file) => !NOT_SENT.test(file.name));
    const fields = { collection_id: this.collection.value.trim(), index: this.index.checked };
    remember([fields.collection_id]);
    if (!this.queue.busy) this.#begin();
    if (wanted.length) this.queue.add(wanted, fields);
    else say(this.text, "upload.nothing");
    this.bar.hidden = false;
  }

  #changed() {
    const { queue } = this;
    this.#note();
    const finished = queue.done.length + queue.leftOut.length;
    this.progress.max = Math.max(1, queue.total);
    this.progress.value = finished;
    this.stop.hidden = !queue.busy;
    const left = queue.rate ? Math.ceil((queue.total - finished) / queue.rate) : 0;
    const parameters = { done: finished, total: queue.total, rate: queue.rate, seconds: left, faces: this.facesFound, indexed: this.facesIndexed };
    if (queue.waiting) say(this.text, "upload.waiting", { reason: translate(...errorMessage(queue.waiting)) });
    else say(this.text, queue.busy ? "upload.running" : "upload.finished", parameters);
    if (!queue.busy || Date.now() - this.reported > 2000) {
      this.reported = Date.now();
      this.onPhotos(!queue.busy);
    }
  }

  /** Take note of what has come since the last time: the faces, and what was left out and why. */
  #note() {
    const { done, leftOut } = this.queue;
    for (; this.seenDone < done.length; this.seenDone += 1) {
      const { file, photo } = done[this.seenDone];
      keepFile(photo.photo_id, file);
      this.facesFound += photo.faces.length;
      this.facesIndexed += photo.faces.filter((face) => face.status === "indexed").length;
      for (const reason of new Set(photo.faces.map((face) => face.reason).filter(Boolean))) {
        const count = photo.faces.filter((face) => face.reason === reason).length;
        this.#line(file, [LEFT_OUT, { count, reason: translate(`reason.${reason}`) }]);
      }
    }
    for (; this.seenLeftOut < leftOut.length; this.seenLeftOut += 1) {
      const { file, error } = leftOut[this.seenLeftOut];
      this.#line(file, errorMessage(error));
    }
  }

  #line(file, message) {
    this.linesInAll += 1;
    this.leftOut.hidden = false;
    say(this.count, "upload.left_out", { count: this.linesInAll });
    if (this.linesInAll > MOST_LINES) return;
    this.lines.append(h("li", {}, h("b", {}, file.webkitRelativePath || file.name), " ", h("span", { say: message })));
  }
}
