"""Makes colour profiles (ICC.1:2022) for the tests, so that no profile files are committed."""

from __future__ import annotations

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

_D50 = (0.9642, 1.0, 0.8249)
_GRID = 17
_SPREAD = 0.8


def display_p3() -> bytes:
    """Apple's Display P3: wider primaries, the tone curve of sRGB."""
    srgb_curve = (
        b"para"
        + bytes(4)
        + struct.pack(">HH", 3, 0)
        + _fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    )
    return _matrix_profile(
        srgb_curve, (0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)
    )


def adobe_rgb() -> bytes:
    """Adobe RGB (1998): wider green, gamma 563/256."""
    return _matrix_profile(
        _gamma(563), (0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)
    )


def srgb_by_hand() -> bytes:
    """sRGB with an unknown name."""
    srgb_curve = (
        b"para"
        + bytes(4)
        + struct.pack(">HH", 3, 0)
        + _fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    )
    return _matrix_profile(
        srgb_curve, (0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)
    )


def grey_gamma_1() -> bytes:
    """Grey with levels linear in light: so different from sRGB that a test notices if it is ignored."""
    return _profile(b"GRAY", b"XYZ ", {b"wtpt": _xyz(*_D50), b"kTRC": _gamma(256)})


def srgb_to_inks(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The CMYK values, (h, w, 4) uint8, with which that press prints (h, w, 3) `rgb`."""
    inks = (1 - rgb / 255.0) ** (1 / _SPREAD)
    return np.dstack([np.rint(inks * 255), np.zeros(rgb.shape[:2])]).astype(np.uint8)


def cmyk_press() -> bytes:
    """The profile of a fictional printing press that prints everything darker than specified, because its ink spreads.

    CMYK to Lab through a table of 17 x 17 x 17 x 17 colours (tag type `mft1`): four segments of a JPEG.
    """
    levels = np.linspace(0, 1, _GRID)
    grid = np.stack(np.meshgrid(levels, levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 1, 4)
    rgb = (1 - grid[..., :3]) * (1 - grid[..., 3:])
    lab = _lab_of_d50(rgb)
    curve = np.rint((np.arange(256) / 255) ** _SPREAD * 255).astype(np.uint8).tobytes()
    table = np.rint(np.clip(lab * (2.55, 1, 1) + (0, 128, 128), 0, 255)).astype(np.uint8).tobytes()
    matrix = _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    lut = b"mft1" + bytes(4) + bytes([4, 3, _GRID, 0]) + matrix + curve * 4 + table + bytes(range(256)) * 3
    return _profile(b"CMYK", b"Lab ", {b"wtpt": _xyz(*_D50), b"A2B0": lut}, kind=b"prtr")


def _lab_of_d50(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIELAB of sRGB values. OpenCV's white is D65's: Lab is relative to white, so it serves for D50 too."""
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32), cv2.COLOR_RGB2Lab), np.float64)


def _matrix_profile(
    curve: bytes, red: tuple[float, ...], green: tuple[float, ...], blue: tuple[float, ...]
) -> bytes:
    tags = {b"wtpt": _xyz(*_D50), b"rXYZ": _xyz(*red), b"gXYZ": _xyz(*green), b"bXYZ": _xyz(*blue)}
    return _profile(b"RGB ", b"XYZ ", tags | {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve})


def _profile(space: bytes, connection: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr") -> bytes:
    tags = {b"desc": _text(b"desc"), b"cprt": _text(b"text")} | tags
    table, data = struct.pack(">I", len(tags)), b""
    first = 128 + 4 + 12 * len(tags)
    for name, body in tags.items():
        table += name + struct.pack(">II", first + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    head = struct.pack(">I4sI4s4s4s", first + len(data), b"", 0x02400000, kind, space, connection)
    head = (head + bytes(12) + b"acsp").ljust(68, b"\0") + _fixed(*_D50)
    return head.ljust(128, b"\0") + table + data


def _text(kind: bytes) -> bytes:
    if kind == b"desc":
        return b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78)
    return b"text" + bytes(4) + b"none\0"


def _gamma(times_256: int) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, times_256)


def _xyz(x: float, y: float, z: float) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(x, y, z)


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))
