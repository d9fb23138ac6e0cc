// A grid that grows as one scrolls. Cards far from the view are empty boxes of the same height, without their images.

import { h, translateAgain } from "../core/dom.js";

const NEAR = "100% 0px";

/** A list of cards ({element, load(), unload()}). `onEnd` is called while the end of the grid is near the view. */
export class LazyGrid {
  constructor({ label, onEnd }) {
    this.cards = [];
    this.list = h("ul", { class: "grid", label, tabindex: "-1" });
    this.end = h("div", { class: "grid-end" });
    this.element = h("div", { class: "grid-area" }, this.list, this.end);
    this.byElement = new Map();
    this.contents = new Map();
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
      const hidden = place >= count;
      if (card.element.hidden !== hidden) card.element.hidden = hidden;
    });
  }

  /** Remove every card. */
  clear() {
    this.loader.disconnect();
    this.list.replaceChildren();
    this.cards = [];
    this.byElement.clear();
    for (const card of this.contents.keys()) this.#fill(card);
  }

  /** Ask again whether the end is near; needed when it stayed near while cards were added. */
  checkEnd() {
    this.ending.unobserve(this.end);
    this.ending.observe(this.end);
  }

  /** Put the keyboard on a card, however far from the view it is. */
  focus(card) {
    this.#fill(card);
    card.element.querySelector("button").focus();
  }

  #seen(entries) {
    for (const { target, isIntersecting, boundingClientRect } of entries) {
      const card = this.byElement.get(target);
      if (!card) continue;
      if (isIntersecting) {
        this.#fill(card);
        card.load();
      } else {
        card.unload();
        this.#empty(card, boundingClientRect.height);
      }
    }
  }

  /** Thousands of elements would make each frame slow: a card that is far away keeps its height only. */
  #empty(card, height) {
    const { element } = card;
    if (!height || this.contents.has(card) || element.contains(document.activeElement)) return;
    this.contents.set(card, [...element.childNodes]);
    element.style.height = `${height}px`;
    element.replaceChildren();
  }

  #fill(card) {
    if (!this.contents.has(card)) return;
    card.element.append(...this.contents.get(card));
    card.element.style.height = "";
    this.contents.delete(card);
    translateAgain(card.element);
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
    this.focus(target);
  }
}
