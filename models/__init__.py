"""Face packs: the catalogue of models and the command that prepares them for serving."""

import os

# Both libraries send usage data unless that is switched off before their import: ONNX Runtime with a device id and a
# file in the temporary folder, BentoML over HTTPS.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
