#!/usr/bin/env bash
# Measures the runner on a machine with an NVIDIA GPU, or, where there is none, goes through the same on the CPU.
#
#   tools/gpu_check.sh                       with a registry: installs what is missing into a folder of its own
#   GPU_WHEELS=folder tools/gpu_check.sh     without: installs the wheels of the folder
#
# Needs this repository, Python 3.11 or newer with pip (PYTHON=python3.11; tried with 3.11 and 3.12), and for a GPU
# NVIDIA's driver. Packages go to GPU_SITE, where a later run finds them. The face pack is taken from BENTOML_HOME, else
# from FACE_PACK_FOLDER, else assembled from the registry. Prints a summary, and writes gpu.json and the logs into OUT
# (reports). ARGS goes to `locust/bench/gpu.py`, such as ARGS="--workers 8 12 --clients 64 128". The runner under load
# comes first, then the comparison with the CPU; after BUDGET seconds (270) no further part is begun.
#
# The status is 0 only when every part that was begun has succeeded, the faces are those of the CPU, and the GPU has
# been used where there is a driver.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${OUT:-reports}
python=${PYTHON:-python3}
mkdir -p "$out"
export PYTHONUNBUFFERED=1 BENTOML_DO_NOT_TRACK=True PIP_DISABLE_PIP_VERSION_CHECK=1

say() { echo "gpu_check: $*"; }

say "$(date -u +%H:%M:%S) $("$python" --version 2>&1), $(nproc) CPUs"
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  say "$python has to be Python 3.11 or newer: set PYTHON"
  exit 1
fi
# A container may have the driver without nvidia-smi.
if command -v nvidia-smi >/dev/null; then
  nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
  has_driver=1
elif [ -e /proc/driver/nvidia/version ] || [ -e /dev/nvidiactl ]; then
  head -1 /proc/driver/nvidia/version 2>/dev/null
  has_driver=1
else
  say "no driver of NVIDIA, so everything runs on the CPU"
  has_driver=
fi

# Packages: wheels of a folder, or the registry, unless this Python has everything already.
requirements=requirements/service.txt
[ -z "$has_driver" ] || requirements=requirements/gpu.txt
site=${GPU_SITE:-/tmp/face-search-site}/$(sha256sum "$requirements" | cut -c1-12)-$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
has_packages() {
  HAS_DRIVER=$has_driver "$python" - 2>/dev/null <<'PY'
import os
import bentoml, insightface, onnx, onnxruntime
raise SystemExit(bool(os.environ["HAS_DRIVER"]) and "CUDAExecutionProvider" not in onnxruntime.get_available_providers())
PY
}
if [ -n "${GPU_WHEELS:-}" ]; then
  "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$site" "$GPU_WHEELS"/*.whl || say "not all wheels of $GPU_WHEELS could be installed"
  export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
elif ! has_packages; then
  export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
  if [ ! -e "$site/complete" ]; then
    say "installing $requirements into $site"
    rm -rf "$site"
    # The file is complete. Without --no-deps pip asks for packages that InsightFace names and nothing here needs.
    "$python" -m pip install -q --no-deps --require-hashes --target "$site" -r "$requirements" && touch "$site/complete" \
      || { say "$requirements cannot be installed: set GPU_WHEELS to a folder with its wheels"; exit 1; }
  fi
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

"$python" - <<'PY' || { say "set GPU_WHEELS to a folder with the wheels of $requirements"; exit 1; }
try:
    import bentoml, insightface, onnx, onnxruntime
    import bentos.runner.face_runner
except ImportError as error:
    raise SystemExit(f"gpu_check: a package is missing: {error}")
print("gpu_check: ONNX Runtime", onnxruntime.__version__, "with", ", ".join(onnxruntime.get_available_providers()))
PY

# The face pack: a folder with detector.onnx, recogniser.onnx, landmarks.onnx and pack.json.
if [ -n "${FACE_PACK_FOLDER:-}" ]; then
  export BENTOML_HOME=${GPU_BENTOML_HOME:-/tmp/face-search-gpu-bentoml}
  mkdir -p "$BENTOML_HOME/models/yunet-mbf"
  version=$(basename "$FACE_PACK_FOLDER")
  cp -r "$FACE_PACK_FOLDER" "$BENTOML_HOME/models/yunet-mbf/" && printf %s "$version" >"$BENTOML_HOME/models/yunet-mbf/latest"
elif ! "$python" -c 'import bentoml; bentoml.models.get("yunet-mbf:latest")' 2>/dev/null; then
  "$python" -m models.assemble || { say "the face pack cannot be assembled: set FACE_PACK_FOLDER"; exit 1; }
fi

export PYTHONPATH=".:locust${PYTHONPATH:+:$PYTHONPATH}"
# shellcheck disable=SC2086
"$python" locust/bench/gpu.py --reports "$out" --budget "${BUDGET:-270}" ${ARGS:-}
status=$?
if [ -n "$has_driver" ] && grep -q '"provider": "CPUExecutionProvider' "$out/gpu.json" 2>/dev/null; then
  say "THE GPU HAS NOT BEEN USED: the report says why, at provider"
  [ $status -ne 0 ] || status=1
fi
say "$(date -u +%H:%M:%S) end with status $status; $out/gpu.json"
exit $status
