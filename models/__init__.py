"""Face packs: the catalogue of models and the tool that makes them ready to serve."""

import os

# Both libraries report their use to their makers unless told not to before they are imported: ONNX Runtime with
# a device id and a file in the temporary folder, BentoML over HTTPS.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
