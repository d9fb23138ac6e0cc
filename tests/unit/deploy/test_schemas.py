"""Validates every manifest against Kubernetes' schemas, strictly: an unknown field is an error."""

from __future__ import annotations

import kubernetes_validate
import pytest

from tests.unit.deploy.manifests import Manifest, documents, files, manifests, name_of

VERSIONS = ("1.29", "1.33", "1.37")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", manifests(), ids=name_of)
def test_the_manifest_is_valid_in(manifest: Manifest, version: str) -> None:
    assert kubernetes_validate.validate(manifest, version, strict=True) == version


def test_an_unknown_field_is_found() -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "dta": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, VERSIONS[0], strict=True)


def test_a_file_holds_objects_of_one_kind() -> None:
    for path in files():
        assert path.suffix == ".yaml", path.name
        assert len({document["kind"] for document in documents(path)}) == 1, path.name


def test_in_alphabetical_order_every_object_is_created_before_it_is_used() -> None:
    kinds = [manifest["kind"] for manifest in manifests()]
    assert kinds[0] == "Namespace"
    for before in ("ServiceAccount", "ConfigMap", "Secret", "NetworkPolicy", "Service"):
        assert kinds.index(before) < kinds.index("Deployment")


def test_every_other_object_is_in_the_namespace() -> None:
    for manifest in manifests()[1:]:
        assert manifest["metadata"]["namespace"] == "face-search", name_of(manifest)


def test_no_object_is_defined_twice() -> None:
    names = [name_of(manifest) for manifest in manifests()]
    assert len(names) == len(set(names))
