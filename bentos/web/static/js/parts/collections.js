// The collections that this page has seen; the API has no list of them.

import { h } from "../core/dom.js";

const names = new Set();
const list = h("datalist", { id: "known-collections" });

/** The id of a datalist with the names, for the attribute `list` of an input. */
export function knownCollections() {
  if (!list.isConnected) document.body.append(list);
  return list.id;
}

/** Add names; null is passed over. */
export function remember(seen) {
  for (const name of seen) {
    if (!name || names.has(name)) continue;
    names.add(name);
    list.append(h("option", { value: name }));
  }
}
