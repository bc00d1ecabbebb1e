"""Vendored files: the few libraries the pages load, fetched once, verified and kept in the repository.

    python scripts/vendor.py            fetch with npm, verify, copy, write static/vendor/vendor.json
    python scripts/vendor.py --check    re-hash what lies in static/vendor, touching no network

A page must work on a machine that reaches nothing, and must run the very bytes that were reviewed. So a
package is taken by `npm pack` (which runs none of its scripts), its archive is held against the sha512
pinned below *and* against what the registry states, and only the listed files leave the archive. To move to
another version: change `version` and `integrity` here, run the script, read the diff, commit it.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from typing import Any

VENDOR = pathlib.Path(__file__).resolve().parent.parent / "static" / "vendor"
MANIFEST = "vendor.json"


class VendorError(Exception):
    """A package or a file is not what it should be; the message names it and says why."""


@dataclass(frozen=True)
class Package:
    """One npm package and the files of it that are served."""

    name: str
    version: str
    licence: str
    integrity: str
    """What npm calls `dist.integrity`: `sha512-` and the base64 of the archive's digest."""
    folder: str
    files: tuple[str, ...]
    """Where they lie in the archive; here each lies in `folder` under the last part of that."""

    @property
    def spec(self) -> str:
        """The package and its version, as npm names them."""
        return f"{self.name}@{self.version}"


PACKAGES = (
    Package(
        name="swagger-ui-dist",
        version="5.35.0",
        licence="Apache-2.0",
        integrity="sha512-U06rpMtW9V3XPGOBeamTUSr0Z09jMX4IJuANpE/EZbAhw0G8CgwrzU4YmXkn/h0wCDNsXdGarTNNHC3sU8yVUQ==",
        folder="swagger-ui",
        # The bundle's first line points at the LICENSE.txt of the libraries inside it, so that comes too.
        files=("swagger-ui-bundle.js", "swagger-ui.css", "swagger-ui-bundle.js.LICENSE.txt", "LICENSE", "NOTICE"),
    ),
    Package(
        name="dompurify",
        version="3.4.18",
        licence="(MPL-2.0 OR Apache-2.0)",
        integrity="sha512-ofe3wI/uNm68HInABYFJYqQxRw1EaKAjNdrFVKqjUY+UZurvNd2L/HuQe097s/4RivWiZyP6tT7aoT8atjfhwg==",
        folder="dompurify",
        files=("LICENSE", "dist/purify.min.js"),
    ),
    Package(
        name="marked",
        version="18.2.1",
        licence="MIT",
        integrity="sha512-ii4bxCTCqqwpT86XZWgJNs+ZnAIZksmLGYMViWA7PDIXYIeNo1x6cDdX3JOip9NM/cI6p8z57FxliACboTruMA==",
        folder="marked",
        files=("LICENSE", "lib/marked.esm.js"),
    ),
    Package(
        name="uplot",
        version="1.6.32",
        licence="MIT",
        integrity="sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
        folder="uplot",
        files=("LICENSE", "dist/uPlot.esm.js", "dist/uPlot.min.css"),
    ),
)


def main(arguments: list[str]) -> int:
    """Fetch, or with `--check` only compare; the exit code, 1 when something is not as it should be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="re-hash the vendored files without fetching")
    only_check = parser.parse_args(arguments).check
    try:
        if not only_check:
            fetch_all(VENDOR)
        faults = differences(VENDOR)
    except VendorError as refusal:
        faults = [str(refusal)]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def fetch_all(vendor: pathlib.Path) -> None:
    """Replace every package's folder in `vendor` and write the manifest. Needs npm and a registry."""
    entries = [_install(package, vendor) for package in PACKAGES]
    text = json.dumps({"packages": entries}, indent=2) + "\n"
    (vendor / MANIFEST).write_text(text, encoding="utf-8")


def differences(vendor: pathlib.Path) -> list[str]:
    """What in `vendor` is not as its manifest says, one sentence each; empty when all is well."""
    manifest = json.loads((vendor / MANIFEST).read_text(encoding="utf-8"))
    expected = {
        f"{package['folder']}/{name}": sha256
        for package in manifest["packages"]
        for name, sha256 in package["files"].items()
    }
    present = {path.relative_to(vendor).as_posix(): path for path in vendor.rglob("*") if path.is_file()}
    present.pop(MANIFEST, None)
    faults = [f"{name} is missing" for name in sorted(expected.keys() - present.keys())]
    faults += [f"{name} is not in {MANIFEST}" for name in sorted(present.keys() - expected.keys())]
    faults += [
        f"{name} has changed since it was vendored"
        for name in sorted(expected.keys() & present.keys())
        if _sha256(present[name].read_bytes()) != expected[name]
    ]
    return faults


def _install(package: Package, vendor: pathlib.Path) -> dict[str, Any]:
    """Copy one package's files into place and return its manifest entry."""
    contents = _contents(package, _verified_archive(package))
    folder = vendor / package.folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {
        "name": package.name,
        "version": package.version,
        "licence": package.licence,
        "folder": package.folder,
        "files": {name: _sha256(content) for name, content in contents.items()},
    }


def _verified_archive(package: Package) -> bytes:
    """The package's archive, once its digest agrees with the pinned one and with the registry's."""
    stated = json.loads(_npm("view", package.spec, "dist.integrity", "license", "--json"))
    if stated["dist.integrity"] != package.integrity:
        raise VendorError(f"{package.spec}: the registry states another integrity than the one pinned here")
    if stated["license"] != package.licence:
        raise VendorError(f"{package.spec}: its licence is now {stated['license']}, not {package.licence}")
    with tempfile.TemporaryDirectory() as folder:
        _npm("pack", package.spec, "--silent", "--pack-destination", folder)
        [path] = pathlib.Path(folder).glob("*.tgz")
        archive = path.read_bytes()
    digest = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if digest != package.integrity:
        raise VendorError(f"{package.spec}: the archive's digest is {digest}, not the one pinned here")
    return archive


def _contents(package: Package, archive: bytes) -> dict[str, bytes]:
    """The listed files, read out by name: nothing is unpacked, so no path in the archive is trusted."""
    contents = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for name in package.files:
            member = tar.extractfile(f"package/{name}")
            if member is None:
                raise VendorError(f"{package.spec}: {name} is not an ordinary file")
            contents[name.rpartition("/")[2]] = member.read()
    return contents


def _npm(*arguments: str) -> str:
    """Run npm and return its standard output; refused when npm is missing or fails."""
    npm = shutil.which("npm")
    if npm is None:
        raise VendorError("npm is needed to fetch vendored files; it comes with Node.js")
    done = subprocess.run([npm, *arguments], capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        raise VendorError(f"npm {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
