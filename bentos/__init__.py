"""The two services of the face search backend and what they share."""

import os

# Both libraries report to their makers unless they are told not to before they are first imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
