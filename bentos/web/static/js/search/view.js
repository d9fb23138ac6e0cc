// The view "Search": a selfie or a face in, the photos of that person out.

import { h, liveText, newId, say } from "../core/dom.js";
import { Score } from "../core/i18n.js";
import { settings } from "../core/settings.js";
import { errorBox } from "../parts/errors.js";
import { LazyGrid } from "../parts/lazy_grid.js";
import { knownCollections, remember } from "../parts/collections.js";
import { Card } from "./card.js";
import { openPhoto } from "./photo_dialog.js";
import { Query } from "./query.js";
import { reduced } from "./reduced.js";
import { thresholdMessage } from "./score.js";
import { viewChoice } from "./view_choice.js";
import { Who } from "./who.js";

/** The element of the view, and `lookFor(face)` for other views: {face_id, photo_id, bbox, url}. */
export class SearchView {
  constructor() {
    this.threshold = settings.score_threshold;
    this.past = [];
    this.who = new Who({
      onFile: (file) => this.#searchFile(file),
      onFace: (bbox) => this.#start({ ...this.source, choice: { bbox: JSON.stringify(bbox) } }),
      onLargest: () => this.#start({ ...this.source, choice: { face: "largest" } }),
      onBack: () => this.#start(this.past.pop(), { back: true }),
    });
    this.status = liveText({ class: "status" });
    this.problem = h("div", {});
    this.grid = new LazyGrid({ label: "search.results", onEnd: () => this.#more() });
    this.element = h(
      "section",
      { class: "search-view", label: "nav.search" },
      h("div", { class: "side" }, this.who.element, this.#collections(), this.#slider()),
      h("div", { class: "main" }, this.#bar(), this.problem, this.who.choice, this.grid.element),
    );
    say(this.status, "search.begin");
  }

  /** More photos of the person whose face this is. */
  lookFor(face) {
    this.#start({ face });
    this.who.element.scrollIntoView({ block: "nearest" });
  }

  #bar() {
    const choice = viewChoice((mode) => {
      this.grid.list.dataset.mode = mode;
    });
    return h("div", { class: "bar" }, this.status, choice);
  }

  #collections() {
    const id = newId("collections");
    this.collections = h("input", { id, list: knownCollections(), autocomplete: "off", spellcheck: "false" });
    this.collections.addEventListener("change", () => this.source && this.#start(this.source, { back: true }));
    return h(
      "div",
      { class: "field" },
      h("label", { for: id, say: "search.collections" }),
      this.collections,
      h("p", { class: "hint", say: "search.collections_hint" }),
    );
  }

  #slider() {
    const id = newId("threshold");
    const value = h("output", { for: id });
    const meaning = h("p", { class: "hint", id: `${id}-meaning` });
    const slider = h("input", { id, type: "range", min: "0", max: "1", step: "0.01", "aria-describedby": meaning.id });
    slider.value = String(this.threshold);
    const show = () => {
      this.threshold = Number(slider.value);
      const shown = ["score.value", { score: new Score(this.threshold) }];
      say(value, ...shown);
      say(slider, ...shown, "aria-valuetext");
      say(meaning, ...thresholdMessage(this.threshold));
    };
    slider.addEventListener("input", () => {
      show();
      this.#narrow();
    });
    show();
    return h("div", { class: "field" }, h("label", { for: id, say: "search.threshold" }), value, slider, meaning);
  }

  async #searchFile(file) {
    const selfie = await reduced(file);
    await this.#start({ file: selfie, smaller: selfie !== file });
  }

  /** `source`: {file, choice} or {face}. Going back does not add to the past. */
  async #start(source, { back = false } = {}) {
    this.query?.stop();
    if (!back && this.source && source.file !== this.source.file) this.past.push(this.source);
    this.source = source;
    this.who.back.hidden = !this.past.length;
    this.grid.clear();
    this.problem.replaceChildren();
    this.loading = false;
    if (source.file) this.who.showSelfie(source.file);
    else this.who.showFace(source.face);
    const who = source.file ? { file: source.file, ...source.choice } : { face_id: source.face.face_id };
    const collections = this.collections.value.split(/[\s,]+/).filter(Boolean);
    this.query = new Query({ ...who, collection_id: collections }, Math.min(0, settings.score_threshold));
    say(this.status, "search.searching");
    await this.#more();
  }

  /** Read pages while the last photo that was read is still above the threshold. */
  async #more() {
    const query = this.query;
    const last = query?.results.at(-1);
    if (!query?.hasMore || this.loading || (last && last.score < this.threshold)) return;
    this.loading = true;
    try {
      const first = query.pages === 0;
      const answer = await query.next();
      if (query !== this.query) return;
      if (first) this.#firstAnswer(answer);
      this.#append(query, answer.results.length);
      if (first) this.#intoView();
    } catch (error) {
      if (query === this.query && error.name !== "AbortError") this.#fail(error);
    } finally {
      if (query === this.query) this.loading = false;
    }
  }

  #firstAnswer(answer) {
    this.tookMs = Math.round(answer.took_ms);
    if (this.source.file && answer.query?.bbox) this.who.frameSelfie(answer.query.bbox);
    if (this.source.smaller) say(this.who.note, "search.smaller");
  }

  /** On a narrow screen the results are below the panel. */
  #intoView() {
    if (this.status.getBoundingClientRect().top > window.innerHeight / 2) this.status.scrollIntoView();
  }

  #append(query, count) {
    const added = query.results.slice(query.results.length - count);
    remember(added.map((result) => result.collection_id));
    const handlers = {
      onOpen: (result) => this.#open(result),
      onMore: (result) => this.lookFor(result),
      freshLink: (result) => query.freshLink(result),
    };
    this.grid.append(added.map((result) => new Card(result, handlers)));
    this.#narrow();
    this.grid.checkEnd();
  }

  #narrow() {
    if (!this.query?.pages) return;
    const { results, hasMore } = this.query;
    const count = results.filter((result) => result.score >= this.threshold).length;
    this.grid.showFirst(count);
    const parameters = { count, threshold: new Score(this.threshold), ms: this.tookMs };
    const more = hasMore && count === results.length;
    say(this.status, count === 0 ? "search.none" : more ? "search.found_more" : "search.found", parameters);
    this.grid.checkEnd();
  }

  #fail(error) {
    say(this.status, "");
    if (error.code === "too_many_faces" && this.source.file) {
      this.who.chooseFace(error.details.faces, error.details.count ?? error.details.faces.length);
      say(this.status, "search.choose_face");
    } else this.problem.replaceChildren(errorBox(error, () => this.#again()));
  }

  #focus(card) {
    if (card) this.grid.focus(card);
  }

  #again() {
    this.problem.replaceChildren();
    this.#more();
  }

  #open(result) {
    openPhoto(result, {
      results: () => this.query.results.filter((one) => one.score >= this.threshold),
      onMore: (one) => this.lookFor(one),
      onShown: (one) => this.#focus(this.grid.cards.find((card) => card.result === one)),
    });
  }
}
