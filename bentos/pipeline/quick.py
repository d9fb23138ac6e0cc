"""Decides whether one detection is enough for a selfie: one large face and no trace of another.

Where another face may be there, the selfie is examined in full, so that `too_many_faces` is as strict as without this
step; with an input smaller than SELFIE_DETECTION_SIZE nearly so. docs/face-packs.md has the figures.
"""

from __future__ import annotations

from bentos.domain.faces import Face
from bentos.pipeline.alignment import magnification
from bentos.pipeline.face_pack import FaceCandidates
from bentos.pipeline.pyramid import ImagePyramid
from bentos.pipeline.regions import centre_in

TRACE_THRESHOLD = 0.15
"""Score from which the detector may see another face."""

_LEAST_SCORE = 0.85
"""Lowest score of the face of an ordinary selfie."""

_LEAST_SHARE = 0.2
"""Lowest share of the photo's longer side that the longer side of its box takes."""

_MOST_MAGNIFIED = 0.9
"""A face of fewer pixels, which the recogniser enlarges or hardly shrinks, is worth a look to begin from."""


def only_face(found: FaceCandidates, image: ImagePyramid) -> Face | None:
    """The face of an ordinary selfie; None when another face may be there, or the face is small or doubtful."""
    if len(found.sure) != 1 or found.doubtful:
        return None
    [face] = found.sure
    box = face.bbox
    is_large = max(box.x2 - box.x1, box.y2 - box.y1) >= _LEAST_SHARE * max(image.width, image.height)
    if face.score < _LEAST_SCORE or not is_large or magnification(face.landmarks) > _MOST_MAGNIFIED:
        return None
    return face if all(centre_in(trace.bbox, box) for trace in found.traces) else None
