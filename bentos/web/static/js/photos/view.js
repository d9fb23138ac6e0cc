// The view "Photos": what is in the base, by status and collection, and the panel for adding photos.

import { listPhotos } from "../core/api.js";
import { button, h, liveText, newId, say } from "../core/dom.js";
import { knownCollections, remember } from "../parts/collections.js";
import { errorBox } from "../parts/errors.js";
import { LazyGrid } from "../parts/lazy_grid.js";
import { PhotoCard } from "./photo_card.js";
import { PhotoDialog } from "./photo_dialog.js";
import { UploadPanel } from "./upload_panel.js";

const PAGE = 60;
const STATUSES = ["", "indexed", "partial", "detected", "no_faces", "failed"];

/** `onLookFor` gets a face whose person is searched for. */
export class PhotosView {
  constructor({ onLookFor }) {
    this.onLookFor = onLookFor;
    this.status = "";
    this.text = liveText({ class: "status" });
    this.problem = h("div", {});
    this.upload = new UploadPanel({ onPhotos: (finished) => this.#watch(finished) });
    this.grid = new LazyGrid({ label: "photos.list", onEnd: () => this.#more() });
    this.element = h(
      "section",
      { class: "photos-view", label: "nav.photos", hidden: true },
      h("div", { class: "side" }, this.upload.element),
      h("div", { class: "main" }, this.#filters(), this.text, this.problem, this.grid.element),
    );
  }

  /** Read the list anew, from its beginning. */
  async refresh() {
    this.controller?.abort();
    this.controller = new AbortController();
    this.items = [];
    this.total = null;
    this.fresh = true;
    await Promise.all([this.#more(), this.#counts(this.controller.signal)]);
  }

  /** During an upload: the list follows while its beginning is in view; otherwise only the counts do. */
  #watch(finished) {
    if (this.element.hidden) return;
    if (finished || this.element.getBoundingClientRect().top > -200) this.refresh();
    else this.#counts(this.controller?.signal);
  }

  #filters() {
    const id = newId("filter");
    this.collection = h("input", { id, list: knownCollections(), autocomplete: "off", spellcheck: "false" });
    this.collection.addEventListener("change", () => this.refresh());
    this.counts = STATUSES.map((status) => h("span", { class: "count", "data-status": status }));
    this.buttons = STATUSES.map((status, place) =>
      button(
        { "aria-pressed": String(status === ""), on: { click: () => this.#choose(status) } },
        h("span", { say: status ? `status.${status}` : "photos.all" }),
        this.counts[place],
      ),
    );
    const again = button({ class: "quiet", say: "photos.refresh", on: { click: () => this.refresh() } });
    return h(
      "div",
      { class: "filters" },
      h("div", { class: "chips", role: "group", label: "photos.by_status" }, ...this.buttons),
      h("div", { class: "field" }, h("label", { for: id, say: "photos.collection" }), this.collection),
      again,
    );
  }

  #choose(status) {
    this.status = status;
    this.buttons.forEach((one, place) => one.setAttribute("aria-pressed", String(STATUSES[place] === status)));
    this.refresh();
  }

  /** How many photos there are of each status. */
  async #counts(signal) {
    const collection = this.collection.value.trim();
    await Promise.all(
      STATUSES.map(async (status, place) => {
        try {
          const { total } = await listPhotos({ status, collection_id: collection, limit: 1 }, signal);
          say(this.counts[place], "photos.number", { number: total });
        } catch {
          say(this.counts[place], "");
        }
      }),
    );
  }

  async #more() {
    const { controller } = this;
    if (!controller || this.loading === controller || this.items.length === this.total) return;
    this.loading = controller;
    try {
      const query = { status: this.status, collection_id: this.collection.value.trim(), limit: PAGE, offset: this.items.length };
      const answer = await listPhotos(query, controller.signal);
      if (controller === this.controller) this.#append(answer);
    } catch (error) {
      if (error.name !== "AbortError") this.problem.replaceChildren(errorBox(error, () => this.refresh()));
    } finally {
      if (this.loading === controller) this.loading = null;
    }
  }

  #append({ items, total }) {
    this.problem.replaceChildren();
    this.items.push(...items);
    this.total = items.length ? total : this.items.length;
    remember(items.map((item) => item.collection_id));
    const before = this.fresh ? this.grid.cards : [];
    const cards = items.map(
      (item) => before.find((card) => card.shows(item)) ?? new PhotoCard(item, { onOpen: (photoId) => this.#open(photoId) }),
    );
    if (this.fresh) this.grid.clear();
    this.fresh = false;
    this.grid.append(cards);
    for (const card of before) if (!cards.includes(card)) card.unload();
    say(this.text, total ? "photos.shown" : "photos.empty", { count: total, shown: this.items.length });
    this.grid.checkEnd();
  }

  #open(photoId) {
    new PhotoDialog(photoId, { onLookFor: this.onLookFor, onChanged: () => this.#changed(photoId) });
  }

  async #changed(photoId) {
    await this.refresh();
    const card = this.grid.cards.find((one) => one.photo.photo_id === photoId);
    if (card) this.grid.focus(card);
    else this.grid.list.focus();
  }
}
