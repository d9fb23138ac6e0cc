// Where the image of a photo comes from: the file that this tab has uploaded, or a link that a search by face gives.

import { photoStatus, search } from "../core/api.js";
import { settings } from "../core/settings.js";

const AT_ONCE = 4;
const LIKELY_COPIES = 10;

const files = new Map();
const links = new Map();
const turns = [];
let running = 0;

/** Keep the file of a photo while the tab is open; it is a reference, not the bytes. */
export function keepFile(photoId, file) {
  files.set(photoId, file);
}

/** The photo with its faces, as /embed_status/{photo_id} has it; a few calls at a time. */
export function detailsOf(photoId, signal) {
  return inTurn(() => photoStatus(photoId, signal));
}

/**
 * An address of the image, or null: the API gives links with search results only, and so only to photos with an indexed
 * face. `release` has to be called when the image is not shown any more.
 */
export async function imageOf(photo, signal) {
  const file = files.get(photo.photo_id);
  if (file) {
    const url = URL.createObjectURL(file);
    return { url, release: () => URL.revokeObjectURL(url) };
  }
  const url = await linkTo(photo, signal);
  return { url, release: () => {} };
}

async function linkTo(photo, signal) {
  const known = links.get(photo.photo_id);
  if (known && known.until > Date.now()) return known.url;
  const face = photo.faces.find((one) => one.status === "indexed");
  if (!face) return null;
  const fields = {
    face_id: face.face_id,
    collection_id: photo.collection_id,
    top_k: Math.min(LIKELY_COPIES, settings.top_k_max),
    score_threshold: 0.9,
    include_url: true,
  };
  const { results } = await inTurn(() => search(fields, signal));
  const url = results.find((one) => one.photo_id === photo.photo_id)?.url ?? null;
  links.set(photo.photo_id, { url, until: Date.now() + settings.url_expires_s * 800 });
  return url;
}

/** Run `work` when fewer than four are running. */
async function inTurn(work) {
  if (running >= AT_ONCE) await new Promise((resolve) => turns.push(resolve));
  running += 1;
  try {
    return await work();
  } finally {
    running -= 1;
    turns.shift()?.();
  }
}
