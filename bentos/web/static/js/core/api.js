// Calls the API: one function for each endpoint. The key travels in a header; an error becomes an ApiError.

import { forgetKey, storedKey } from "./preferences.js";

const ROOT = new URL("../", document.baseURI);

/** An error of the API, or of the way to it (`unreachable`, `no_key`). `retryAfter` is in seconds, or null. */
export class ApiError extends Error {
  constructor(code, message = "", { details = {}, requestId = "", retryAfter = null } = {}) {
    super(message || code);
    Object.assign(this, { code, details, requestId, retryAfter });
  }
}

let askForKey = async () => null;

/** Set who asks for the key: a function that takes whether the last one was wrong, and returns a key or null. */
export function onKeyNeeded(ask) {
  askForKey = ask;
}

/** Whether the service accepts this key. Throws ApiError when it cannot be asked. */
export async function isValidKey(key) {
  if (!/^[\x21-\x7e]+$/.test(key)) return false; // a header cannot carry it
  const response = await send("GET", "ping", {}, key);
  return response.status !== 401;
}

export const search = (fields, signal) => call("POST", "search/", { fields, signal });
export const detectFaces = (fields, signal) => call("POST", "detect_faces/", { fields, signal });
export const addFace = (fields) => call("PUT", "add_face/", { fields });
export const listPhotos = (query, signal) => call("GET", "embed_status/", { query, signal });
export const photoStatus = (photoId, signal) => call("GET", `embed_status/${encodeURIComponent(photoId)}`, { signal });
export const removeFaces = (photoId, query) => call("DELETE", `remove/${encodeURIComponent(photoId)}`, { query });

async function call(method, path, options) {
  let key = storedKey() ?? (await askForKey(false));
  for (;;) {
    if (key === null) throw new ApiError("no_key");
    const response = await send(method, path, options, key);
    if (response.ok) return response.json();
    const error = await errorOf(response);
    if (error.code !== "invalid_api_key") throw error;
    forgetKey();
    key = await askForKey(true);
  }
}

async function send(method, path, { fields, query, signal }, key) {
  const address = new URL(path, ROOT);
  for (const [name, value] of given(query)) address.searchParams.append(name, value);
  let body;
  if (fields) {
    body = new FormData();
    for (const [name, value] of given(fields)) body.append(name, value);
  }
  try {
    return await fetch(address, { method, body, signal, headers: { "X-Api-Key": key }, credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("unreachable");
  }
}

/** The fields that have a value; a list gives one field for each of its values. */
function* given(fields = {}) {
  for (const [name, value] of Object.entries(fields)) {
    for (const one of [value].flat()) if (one !== undefined && one !== null && one !== "") yield [name, one];
  }
}

async function errorOf(response) {
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  try {
    const { error, message, details, request_id: requestId } = await response.json();
    return new ApiError(error, message, { details, requestId, retryAfter });
  } catch {
    return new ApiError(response.status === 413 ? "image_too_large" : "unreadable_answer", "", { retryAfter });
  }
}
