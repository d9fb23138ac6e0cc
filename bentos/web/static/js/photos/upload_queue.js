// Uploads many files, a few at a time, and repeats what may pass: an outage or an overload never loses a file.

import { ApiError, detectFaces } from "../core/api.js";
import { settings } from "../core/settings.js";
import { mayPass } from "../parts/errors.js";

const AT_ONCE = 4;
const LONGEST_PAUSE_S = 30;

/** `onChange` is called after each file, and when waiting begins or ends. */
export class UploadQueue {
  constructor({ onChange }) {
    this.onChange = onChange;
    this.files = [];
    this.done = [];
    this.leftOut = [];
    this.waiting = null;
    this.controller = new AbortController();
    this.running = 0;
    this.started = null;
  }

  /** Whether files are being uploaded. */
  get busy() {
    return this.running > 0;
  }

  /** How many files there are in all. */
  get total() {
    return this.files.length + this.running + this.done.length + this.leftOut.length;
  }

  /** Files a second since the queue began to work. */
  get rate() {
    const seconds = (Date.now() - this.started) / 1000;
    return seconds > 0 ? (this.done.length + this.leftOut.length) / seconds : 0;
  }

  /** Add files; they are uploaded with `fields` (collection_id, index). */
  add(files, fields) {
    this.started ??= Date.now();
    for (const file of files) this.files.push({ file, fields });
    while (this.running < AT_ONCE && this.files.length) this.#work();
    this.onChange();
  }

  /** Upload nothing more. What the service has received it keeps. */
  stop() {
    this.files = [];
    this.controller.abort();
    this.controller = new AbortController();
  }

  async #work() {
    this.running += 1;
    const { signal } = this.controller;
    while (this.files.length && !signal.aborted) {
      const { file, fields } = this.files.shift();
      try {
        this.done.push({ file, photo: await this.#upload(file, fields, signal) });
      } catch (error) {
        if (error.name !== "AbortError") this.leftOut.push({ file, error });
      }
      this.onChange();
    }
    this.running -= 1;
    this.onChange();
  }

  async #upload(file, fields, signal) {
    const limit = settings.vectorize_max_bytes;
    if (file.size > limit) throw new ApiError("image_too_large", "", { details: { max_bytes: limit } });
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await detectFaces({ file, ...fields }, signal);
      } catch (error) {
        if (!(error instanceof ApiError) || !mayPass(error) || error.code === "no_key") throw error;
        this.waiting = error;
        this.onChange();
        await pause(Math.min(LONGEST_PAUSE_S, (error.retryAfter ?? 1) * 2 ** attempt), signal);
        this.waiting = null;
      }
    }
  }
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    });
  });
}
