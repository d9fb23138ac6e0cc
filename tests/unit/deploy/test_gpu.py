"""Tests of deploy/gpu, as kubectl renders it, and of the bentos for nodes with a GPU against those for CPUs."""

from __future__ import annotations

import copy
import functools
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import kubernetes_validate
import pytest
import yaml

from bentos.config.loading import load_settings
from bentos.config.settings import Role, Settings
from bentos.pipeline.provider_check import WITHIN_S
from bentos.pipeline.providers import CPU
from bentos.runner.cpus import runner_processes
from tests.unit.deploy.manifests import (
    FOLDER,
    SERVICES,
    Manifest,
    container_of,
    manifests,
    name_of,
    pod_of,
    the,
)
from tests.unit.deploy.test_change import FILLED_IN, set_environment
from tests.unit.deploy.test_schemas import VERSIONS
from tests.unit.deploy.test_settings import OPEN, config

DEPLOY = FOLDER.parent
ROOT = DEPLOY.parent
GPU = DEPLOY / "gpu"
SETTINGS = "face-search-gpu"

each_service = pytest.mark.parametrize("service", SERVICES)


def rendered(folder: Path) -> dict[str, Manifest]:
    """The objects by kind and name, as `kubectl apply -k` sends them."""
    kubectl = Path(sys.executable).with_name("kubectl")
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name_of(each): each for each in yaml.safe_load_all(done.stdout)}


@functools.cache
def overlay() -> dict[str, Manifest]:
    return rendered(GPU)


@functools.cache
def with_tensorrt() -> dict[str, Manifest]:
    """The overlay with the lines that are comments at its end."""
    with TemporaryDirectory() as folder:
        for name in ("k8s", "gpu"):
            shutil.copytree(DEPLOY / name, Path(folder, name))
        file = Path(folder, "gpu", "kustomization.yaml")
        file.write_text(re.sub(r"^# (components:|  - )", r"\1", file.read_text(), flags=re.MULTILINE))
        return rendered(Path(folder, "gpu"))


def settings() -> dict[str, str]:
    data: dict[str, str] = overlay()[f"ConfigMap/{SETTINGS}"]["data"]
    return data


def pod(service: str, objects: dict[str, Manifest]) -> Manifest:
    spec: Manifest = objects[f"Deployment/{service}"]["spec"]["template"]["spec"]
    return spec


def container(service: str, objects: dict[str, Manifest]) -> Manifest:
    (found,) = pod(service, objects)["containers"]
    return found


def plain() -> dict[str, Manifest]:
    return {name_of(each): each for each in manifests()}


def test_the_base_is_every_file_of_the_plain_manifests() -> None:
    assert rendered(FOLDER) == plain()


def test_it_adds_one_config_map_and_changes_deployments_and_autoscalers_only() -> None:
    changed = {name for name, each in overlay().items() if each != plain().get(name)}
    assert changed == {
        f"ConfigMap/{SETTINGS}",
        *(f"{kind}/{name}" for kind in ("Deployment", "HorizontalPodAutoscaler") for name in SERVICES),
    }
    assert plain().keys() <= overlay().keys()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("objects", [overlay, with_tensorrt], ids=["cuda", "tensorrt"])
def test_every_object_is_valid_in(objects: Any, version: str) -> None:
    for manifest in objects().values():
        kubernetes_validate.validate(manifest, version, strict=True)


def test_its_settings_exist_and_differ_from_the_defaults_unless_a_provider_may_need_them() -> None:
    assert settings().keys() <= OPEN
    assert {name for name, value in settings().items() if value == config()[name]} <= {
        "ONNX_PROVIDER_OPTIONS"
    }


@each_service
@pytest.mark.parametrize(
    ("objects", "providers"),
    [
        (overlay, ("CUDAExecutionProvider",)),
        (with_tensorrt, ("TensorrtExecutionProvider", "CUDAExecutionProvider")),
    ],
    ids=["cuda", "tensorrt"],
)
def test_a_service_accepts_the_settings_and_uses_a_gpu(
    monkeypatch: pytest.MonkeyPatch, service: Role, objects: Any, providers: tuple[str, ...]
) -> None:
    set_environment(monkeypatch, service, FILLED_IN)
    for name, value in objects()[f"ConfigMap/{SETTINGS}"]["data"].items():
        monkeypatch.setenv(name, value)
    loaded: Settings = load_settings(service)
    assert loaded.onnx_providers == providers
    assert CPU not in loaded.onnx_providers
    assert loaded.fixed_shapes
    assert loaded.batch_size > 1
    assert loaded.runner_queue % loaded.batch_size == 0
    assert loaded.runner_queue > int(config()["RUNNER_QUEUE"])
    assert (
        runner_processes(loaded) == int(settings()["RUNNER_WORKERS"]) or settings()["RUNNER_WORKERS"] == "0"
    )


def test_the_number_of_runner_processes_is_in_one_place() -> None:
    found = [path.name for path in GPU.rglob("*.yaml") if "RUNNER_WORKERS:" in path.read_text()]
    assert found == ["settings.yaml"]


@each_service
def test_the_settings_for_a_gpu_come_last_so_that_they_count(service: str) -> None:
    sources = [each["configMapRef"]["name"] for each in container(service, overlay())["envFrom"]]
    assert sources == ["face-search-settings", SETTINGS]


@each_service
@pytest.mark.parametrize("objects", [overlay, with_tensorrt], ids=["cuda", "tensorrt"])
def test_a_pod_has_the_rights_probes_and_tmp_of_a_pod_without_a_gpu(service: str, objects: Any) -> None:
    changed, usual = copy.deepcopy(pod(service, objects())), copy.deepcopy(pod_of(service))
    (changed_container,), (usual_container,) = changed.pop("containers"), usual.pop("containers")
    for field in ("image", "resources", "envFrom"):
        assert changed_container.pop(field) != usual_container.pop(field), field
    start = changed_container["startupProbe"]
    # The check of the GPU comes before the service responds.
    assert start.pop("failureThreshold") * start["periodSeconds"] >= WITHIN_S + 60
    del usual_container["startupProbe"]["failureThreshold"]
    assert changed.pop("nodeSelector") == {"nvidia.com/gpu.present": "true"}
    assert changed.pop("tolerations")[:-1] == usual.pop("tolerations")
    further = [changed_container["volumeMounts"].pop() for _ in changed["volumes"][1:]]
    # "restricted" allows claims, and no folder of the node.
    claims = [changed["volumes"].pop()["persistentVolumeClaim"] for _ in further]
    assert len(claims) == (objects is with_tensorrt)
    assert changed_container == usual_container
    assert changed == usual


@each_service
def test_a_pod_gets_one_gpu_and_may_run_on_nodes_that_are_reserved_for_it(service: str) -> None:
    resources = container(service, overlay())["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == "1"
    assert pod(service, overlay())["tolerations"][-1] == {
        "key": "nvidia.com/gpu",
        "operator": "Exists",
        "effect": "NoSchedule",
    }


@each_service
def test_cpus_and_memory_are_more_than_without_a_gpu(service: str) -> None:
    resources, without = container(service, overlay())["resources"], container_of(service)["resources"]
    for amounts in ("requests", "limits"):
        assert int(resources[amounts]["cpu"]) > int(without[amounts]["cpu"])
        memory, less = (float(each[amounts]["memory"].removesuffix("Gi")) for each in (resources, without))
        assert memory > less


@each_service
def test_a_rollout_needs_no_free_gpu_and_leaves_a_pod(service: str) -> None:
    rolling = overlay()[f"Deployment/{service}"]["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxUnavailable": 1, "maxSurge": 0}
    assert overlay()[f"HorizontalPodAutoscaler/{service}"]["spec"]["minReplicas"] > rolling["maxUnavailable"]


@each_service
def test_the_autoscaler_adds_pods_one_by_one_by_their_use_of_cpus(service: str) -> None:
    spec = overlay()[f"HorizontalPodAutoscaler/{service}"]["spec"]
    assert spec["minReplicas"] < spec["maxReplicas"]
    assert [metric["resource"]["name"] for metric in spec["metrics"]] == ["cpu"]
    assert [policy["value"] for policy in spec["behavior"]["scaleUp"]["policies"]] == [1]
    usual = the("HorizontalPodAutoscaler", service)["spec"]["behavior"]
    assert spec["behavior"]["scaleDown"]["policies"] == usual["scaleDown"]["policies"]


@each_service
def test_the_image_is_the_one_that_make_containers_gpu_builds(service: str) -> None:
    suffix = re.search(r"^GPU_SUFFIX := (\S+?)#", (DEPLOY / "targets.mk").read_text(), re.MULTILINE)
    assert suffix
    assert container(service, overlay())["image"] == container_of(service)["image"] + suffix[1]


def test_the_engines_of_tensorrt_are_kept_in_the_volume() -> None:
    options = yaml.safe_load(with_tensorrt()[f"ConfigMap/{SETTINGS}"]["data"]["ONNX_PROVIDER_OPTIONS"])
    places = {value for name, value in options["TensorrtExecutionProvider"].items() if name.endswith("_path")}
    for service in SERVICES:
        assert places == {container(service, with_tensorrt())["volumeMounts"][1]["mountPath"]}
        claim = pod(service, with_tensorrt())["volumes"][1]["persistentVolumeClaim"]["claimName"]
        assert f"PersistentVolumeClaim/{claim}" in with_tensorrt()


@pytest.mark.parametrize("folder", ["search", "vectorizer"])
def test_a_bento_for_a_gpu_differs_in_its_packages_only(folder: str) -> None:
    usual, gpu = (
        yaml.safe_load((ROOT / "bentos" / folder / name).read_text())
        for name in ("bentofile.yaml", "bentofile-gpu.yaml")
    )
    assert usual["python"].pop("requirements_txt") == "./requirements/service.txt"
    assert gpu["python"].pop("requirements_txt") == "./requirements/gpu.txt"
    assert gpu == usual


def versions_in(file: str) -> dict[str, str]:
    return dict(
        re.findall(r"^([\w.-]+)==(\S+) \\$", (ROOT / "requirements" / file).read_text(), re.MULTILINE)
    )


def test_the_packages_for_a_gpu_are_those_for_cpus_with_another_onnx_runtime() -> None:
    usual, gpu = versions_in("service.txt"), versions_in("gpu.txt")
    assert gpu.pop("onnxruntime-gpu") == usual.pop("onnxruntime")
    assert usual.items() <= gpu.items()
    assert all(name.startswith("nvidia-") for name in gpu.keys() - usual.keys())


def test_the_table_of_drivers_has_the_versions_of_the_packages() -> None:
    versions = versions_in("gpu.txt")
    lines = (DEPLOY / "README.md").read_text().splitlines()
    (row,) = [line for line in lines if line.startswith("| `onnxruntime-gpu` ")]
    packages = ("onnxruntime-gpu", "nvidia-cuda-runtime", "nvidia-cudnn-cu13")
    assert re.findall(r"\d+\.\d+\.[\d.]+", row)[:3] == [versions[name] for name in packages]
