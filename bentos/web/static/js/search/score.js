// Says what a score means, by the figures that were measured for the face pack in use.

import { h, say } from "../core/dom.js";
import { Score } from "../core/i18n.js";
import { settings } from "../core/settings.js";

/** `same`, `unsure`, `other`, or `unknown` when nothing was measured for this face pack. */
export function meaningOf(score) {
  const figures = settings.figures;
  if (!figures) return "unknown";
  if (score >= figures.threshold) return "same";
  return score > figures.highest_different ? "unsure" : "other";
}

/** The message for the slider: what one gets with this lowest score. */
export function thresholdMessage(threshold) {
  const figures = settings.figures;
  if (!figures) return ["score.threshold_unknown", { pack: settings.face_pack }];
  return [
    `score.threshold_${meaningOf(threshold)}`,
    {
      pairs: figures.pairs,
      threshold: new Score(figures.threshold),
      highest: new Score(figures.highest_different),
      from: figures.found_from * 100,
      to: figures.found_to * 100,
    },
  ];
}

/** The message for one photo: what its score says of it. */
export function scoreMessage(score) {
  const figures = settings.figures;
  if (!figures) return ["score.unknown", { pack: settings.face_pack }];
  return [
    `score.${meaningOf(score)}`,
    {
      threshold: new Score(figures.threshold),
      highest: new Score(figures.highest_different),
      from: new Score(figures.same_from),
      to: new Score(figures.same_to),
      different: new Score(figures.different),
      pairs: figures.pairs,
    },
  ];
}

/** A badge with the score; its colour says what the score means. */
export function scoreBadge(score, tag = "span") {
  const badge = h(tag, { class: `score ${meaningOf(score)}`, say: ["score.value", { score: new Score(score) }] });
  say(badge, ...scoreMessage(score), "title");
  return badge;
}
