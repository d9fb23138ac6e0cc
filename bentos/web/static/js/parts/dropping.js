// Files from outside: dropped files and folders, the file dialogue, the clipboard.

import { button, h } from "../core/dom.js";

/** A button that opens the file dialogue. `onFiles` gets a list of files. */
export function fileButton({ text, multiple = false, folder = false, accept = "image/*", onFiles, primary = false }) {
  const input = h("input", { type: "file", class: "hidden", multiple, webkitdirectory: folder, accept: folder ? null : accept, tabindex: "-1", "aria-hidden": "true" });
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = "";
    if (files.length) onFiles(files);
  });
  return h("span", {}, button({ class: primary ? "primary" : "", say: text, on: { click: () => input.click() } }), input);
}

/** Take what is dropped anywhere while `zone` is shown; the zone is marked meanwhile. */
export function takeDrops(zone, onFiles) {
  const shown = () => zone.isConnected && zone.offsetParent !== null && !document.querySelector("dialog[open]");
  window.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.toggle("over", shown());
  });
  window.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) zone.classList.remove("over");
  });
  window.addEventListener("drop", async (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    if (!shown()) return;
    const files = await filesOf(event.dataTransfer);
    if (files.length) onFiles(files);
  });
}

/** Take an image from the clipboard while `zone` is shown. */
export function takePastes(zone, onFile) {
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
    if (file && zone.offsetParent !== null && !document.querySelector("dialog[open]")) onFile(file);
  });
}

async function filesOf(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  const files = [];
  for (const entry of entries) await collect(entry, files);
  return files;
}

async function collect(entry, files) {
  if (entry.isFile) {
    files.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const child of some) await collect(child, files);
  }
}
