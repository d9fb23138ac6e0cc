// Creates elements, and keeps their texts in the language that is chosen.

import { onLanguage, translate } from "./i18n.js";

const texts = new WeakMap();

/** Show the message `key` as the text of `element`, or as one of its attributes; it follows the language. */
export function say(element, key, parameters = {}, attribute = "") {
  if (!texts.has(element)) texts.set(element, new Map());
  texts.get(element).set(attribute, [key, parameters]);
  write(element, attribute, key, parameters);
}

function write(element, attribute, key, parameters) {
  const text = key ? translate(key, parameters) : "";
  if (attribute) element.setAttribute(attribute, text);
  else if (element.textContent !== text) element.textContent = text;
}

/** Write the texts of all elements below `root` again, in the language that is chosen now. */
export function translateAgain(root) {
  for (const element of root.querySelectorAll("*")) {
    for (const [attribute, [key, parameters]] of texts.get(element) ?? []) {
      write(element, attribute, key, parameters);
    }
  }
}

onLanguage(() => translateAgain(document));

/**
 * An element. `properties`: attributes, and `class`, `say` (a message key, or [key, parameters]), `label` (the same for
 * aria-label), `on` (listeners by event). An attribute that is false or null is left out.
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "say") say(element, ...[value].flat());
    else if (name === "label") sayLabel(element, ...[value].flat());
    else if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/** The message `key` as the aria-label of `element`. */
export function sayLabel(element, key, parameters) {
  say(element, key, parameters, "aria-label");
}

/** A button that submits nothing. */
export function button(properties, ...children) {
  return h("button", { type: "button", ...properties }, ...children);
}

/** A text that a screen reader announces when it changes. */
export function liveText(properties = {}) {
  return h("p", { role: "status", "aria-live": "polite", ...properties });
}

let lastId = 0;

/** A new id for an element, to be referred to by a label. */
export function newId(name) {
  lastId += 1;
  return `${name}-${lastId}`;
}
