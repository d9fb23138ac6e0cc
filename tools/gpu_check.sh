#!/usr/bin/env bash
# Measures the runner on a machine with an NVIDIA GPU, or, where there is none, goes through the same on the CPU.
#
#   tools/gpu_check.sh                       with a registry: installs what is missing into a folder of its own
#   GPU_WHEELS=folder tools/gpu_check.sh     without: installs the wheels of the folder
#
# Needs this repository, Python 3.11 or newer with pip, and for a GPU NVIDIA's driver. The face pack is taken from
# BENTOML_HOME, else from FACE_PACK_FOLDER, else assembled from the registry. Prints a summary, and writes gpu.json and
# the logs into OUT (reports). ARGS goes to `locust/bench/gpu.py`, such as ARGS="--workers 8 12 --clients 64 128".
# The runner under load comes first, then the comparison with the CPU; BUDGET ends it after so many seconds (270).
set -uo pipefail
cd "$(dirname "$0")/.."
out=${OUT:-reports}
python=${PYTHON:-python3}
site=${GPU_SITE:-/tmp/face-search-gpu-site}
mkdir -p "$out"
export PYTHONUNBUFFERED=1 BENTOML_DO_NOT_TRACK=True PIP_DISABLE_PIP_VERSION_CHECK=1

say() { echo "gpu_check: $*"; }

say "$(date -u +%H:%M:%S) $("$python" --version 2>&1), $(nproc) CPUs"
if command -v nvidia-smi >/dev/null; then
  nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
else
  say "no nvidia-smi: no driver, so everything runs on the CPU"
fi

# Packages: wheels of a folder, or the registry, unless everything is there already.
if [ -n "${GPU_WHEELS:-}" ]; then
  "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$site" "$GPU_WHEELS"/*.whl || say "not all wheels of $GPU_WHEELS could be installed"
  export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
elif ! "$python" -c 'import bentoml, insightface, onnxruntime' 2>/dev/null; then
  requirements=requirements/gpu.txt
  command -v nvidia-smi >/dev/null || requirements=requirements/service.txt
  "$python" -m pip install -q --target "$site" -r "$requirements" || { say "the requirements cannot be installed: set GPU_WHEELS"; exit 1; }
  export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
fi

# CUDA and cuDNN may lie in packages beside another ONNX Runtime, such as PyTorch's.
libraries=$("$python" - <<'PY'
import glob, importlib.util, os, sys
roots = {os.path.join(path, "nvidia") for path in sys.path}
spec = importlib.util.find_spec("nvidia")
roots |= set(spec.submodule_search_locations or ()) if spec else set()
found = sorted({os.path.dirname(path) for root in roots for path in glob.glob(os.path.join(root, "**", "lib*.so*"), recursive=True)})
print(":".join(found))
PY
)
export LD_LIBRARY_PATH="${libraries}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"

# The face pack: a folder with detector.onnx, recogniser.onnx, landmarks.onnx and pack.json.
if [ -n "${FACE_PACK_FOLDER:-}" ]; then
  export BENTOML_HOME=${GPU_BENTOML_HOME:-/tmp/face-search-gpu-bentoml}
  mkdir -p "$BENTOML_HOME/models/yunet-mbf"
  version=$(basename "$FACE_PACK_FOLDER")
  cp -r "$FACE_PACK_FOLDER" "$BENTOML_HOME/models/yunet-mbf/" && printf %s "$version" >"$BENTOML_HOME/models/yunet-mbf/latest"
elif ! "$python" -c 'import bentoml; bentoml.models.get("yunet-mbf:latest")' 2>/dev/null; then
  "$python" -m models.assemble || { say "the face pack cannot be assembled: set FACE_PACK_FOLDER"; exit 1; }
fi

"$python" - <<'PY' || { say "Python packages are missing"; exit 1; }
import onnxruntime
print("gpu_check: ONNX Runtime", onnxruntime.__version__, "with", ", ".join(onnxruntime.get_available_providers()))
import bentos.runner.face_runner
PY

export PYTHONPATH=".:locust${PYTHONPATH:+:$PYTHONPATH}"
# shellcheck disable=SC2086
"$python" locust/bench/gpu.py --reports "$out" --budget "${BUDGET:-270}" ${ARGS:-}
status=$?
say "$(date -u +%H:%M:%S) end with status $status; $out/gpu.json"
exit $status
