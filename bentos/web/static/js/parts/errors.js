// Says in plain words what an error means and what to do.

import { button, h, say } from "../core/dom.js";
import { hasMessage } from "../core/i18n.js";

const MEGABYTE = 1024 * 1024;

/** The message key of an error and its parameters. */
export function errorMessage(error) {
  const { code = "unexpected", details = {} } = error;
  const parameters = {
    count: details.count ?? details.faces?.length ?? 0,
    megabytes: details.max_bytes ? details.max_bytes / MEGABYTE : null,
    megapixels: details.max_pixels ? details.max_pixels / 1e6 : null,
    collection: details.collection_id ?? "",
    dependency: details.dependency ?? "",
    message: error.message,
  };
  if (code === "image_too_large" && details.max_bytes) return ["error.image_too_large_bytes", parameters];
  if (code === "image_too_large" && details.max_pixels) return ["error.image_too_large_pixels", parameters];
  return [hasMessage(`error.${code}`) ? `error.${code}` : "error.unexpected", parameters];
}

const WORTH_REPEATING = new Set(["overloaded", "dependency_unavailable", "timed_out", "unreachable", "no_key"]);

/** Whether the same call may succeed later. */
export function mayPass(error) {
  return WORTH_REPEATING.has(error.code);
}

/** A box that explains an error; the answer of the service and its request id are one click away. */
export function errorBox(error, onRetry = null) {
  const box = h("div", { class: "error-box", role: "alert" }, h("p", { say: errorMessage(error) }));
  if (onRetry && mayPass(error)) box.append(button({ say: "error.retry", on: { click: onRetry } }));
  if (error.requestId) {
    const summary = h("summary", { say: "error.details" });
    const id = h("p", {});
    say(id, "error.request_id", { id: error.requestId });
    box.append(h("details", {}, summary, h("p", { lang: "en" }, error.message), id));
  }
  return box;
}
