// Takes a selfie with the camera of the machine.

import { button, h } from "../core/dom.js";
import { openDialog } from "../parts/dialogs.js";

/** Resolves to a JPEG file, or to null when the person closes the dialogue. */
export function takeSelfie() {
  return new Promise((resolve) => {
    let taken = null;
    let stream = null;
    const video = h("video", { class: "camera", autoplay: true, playsinline: true, label: "camera.picture" });
    video.muted = true;
    const problem = h("div", { role: "alert" });
    const shutter = button({ class: "primary", say: "camera.take", disabled: true, on: { click: take } });
    const dialog = openDialog(
      { title: "camera.title", onClose: finish },
      h("div", { class: "stack" }, video, problem, h("footer", {}, shutter)),
    );
    start();

    async function start() {
      try {
        if (!navigator.mediaDevices) throw new DOMException("", "InsecureContext");
        stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: { ideal: 1280 } } });
        if (!dialog.open) return stop();
        video.srcObject = stream;
        await video.play();
        shutter.disabled = false;
        shutter.focus();
      } catch (error) {
        const known = ["NotAllowedError", "NotFoundError", "InsecureContext"];
        const name = known.includes(error.name) ? error.name : "other";
        video.hidden = true;
        problem.replaceChildren(h("p", { class: "error-box", say: `camera.problem_${name}` }));
      }
    }

    function take() {
      const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
      canvas.getContext("2d").drawImage(video, 0, 0);
      canvas.toBlob(
        (blob) => {
          taken = new File([blob], "camera.jpg", { type: "image/jpeg" });
          dialog.close();
        },
        "image/jpeg",
        0.92,
      );
    }

    function stop() {
      for (const track of stream?.getTracks() ?? []) track.stop();
    }

    function finish() {
      stop();
      resolve(taken);
    }
  });
}
