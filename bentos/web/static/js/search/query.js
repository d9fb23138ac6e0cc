// One search and its pages, in the order of the API; links that have expired are asked for again.

import { search } from "../core/api.js";
import { settings } from "../core/settings.js";

/** `fields`: those of /search/ that say who is looked for and where. All photos from score `floor` on are in the pages. */
export class Query {
  constructor(fields, floor) {
    this.fields = fields;
    this.floor = floor;
    this.results = [];
    this.hasMore = true;
    this.controller = new AbortController();
    this.pages = 0;
    this.refreshed = new Map();
  }

  /** Read the next page, append it to `results`, and return the answer. */
  async next() {
    const answer = await this.#page(this.pages + 1);
    this.pages += 1;
    this.hasMore = answer.has_more;
    for (const found of answer.results) this.results.push({ ...found, page: this.pages });
    return answer;
  }

  /** A new link to the image of a result whose link has expired; null when it cannot be had. */
  async freshLink(result) {
    const asked = this.refreshed.get(result.page);
    if (!asked || Date.now() - asked.at > (settings.url_expires_s * 1000) / 2) {
      this.refreshed.set(result.page, { at: Date.now(), answer: this.#page(result.page) });
    }
    try {
      const { results } = await this.refreshed.get(result.page).answer;
      return results.find((one) => one.photo_id === result.photo_id)?.url ?? null;
    } catch {
      return null;
    }
  }

  /** Stop what is under way; its answer is not wanted any more. */
  stop() {
    this.controller.abort();
  }

  #page(page) {
    const fields = { ...this.fields, top_k: settings.top_k_max, score_threshold: this.floor, page, include_url: true };
    return search(fields, this.controller.signal);
  }
}
