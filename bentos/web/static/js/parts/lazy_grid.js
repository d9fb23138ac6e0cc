// A grid that grows as one scrolls: cards near the view hold their images, the others do not.

import { h } from "../core/dom.js";

const NEAR = "100% 0px";

/** A list of cards ({element, load(), unload()}). `onEnd` is called while the end of the grid is near the view. */
export class LazyGrid {
  constructor({ label, onEnd }) {
    this.cards = [];
    this.list = h("ul", { class: "grid", label, tabindex: "-1" });
    this.end = h("div", { class: "grid-end" });
    this.element = h("div", { class: "grid-area" }, this.list, this.end);
    this.byElement = new Map();
    this.loader = new IntersectionObserver((entries) => this.#seen(entries), { rootMargin: NEAR });
    this.ending = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && onEnd(), {
      rootMargin: NEAR,
    });
    this.ending.observe(this.end);
    this.list.addEventListener("keydown", (event) => this.#move(event));
  }

  /** Add cards at the end. */
  append(cards) {
    this.list.append(...cards.map((card) => card.element));
    for (const card of cards) {
      this.cards.push(card);
      this.byElement.set(card.element, card);
      this.loader.observe(card.element);
    }
  }

  /** Show the first `count` cards only. */
  showFirst(count) {
    this.cards.forEach((card, place) => {
      card.element.hidden = place >= count;
    });
  }

  /** Remove every card. */
  clear() {
    this.loader.disconnect();
    this.list.replaceChildren();
    this.cards = [];
    this.byElement.clear();
  }

  /** Ask again whether the end is near; needed when it stayed near while cards were added. */
  checkEnd() {
    this.ending.unobserve(this.end);
    this.ending.observe(this.end);
  }

  #seen(entries) {
    for (const entry of entries) {
      const card = this.byElement.get(entry.target);
      if (entry.isIntersecting) card?.load();
      else card?.unload();
    }
  }

  /** Arrow keys move between the photos, Home and End to the first and the last. */
  #move(event) {
    const shown = this.cards.filter((card) => !card.element.hidden);
    const place = shown.findIndex((card) => card.element.contains(document.activeElement));
    if (place < 0) return;
    const columns = getComputedStyle(this.list).gridTemplateColumns.split(" ").length;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -place, End: shown.length - 1 - place };
    if (!(event.key in steps)) return;
    const target = shown[place + steps[event.key]];
    if (!target) return;
    event.preventDefault();
    target.element.querySelector("button").focus();
  }
}
