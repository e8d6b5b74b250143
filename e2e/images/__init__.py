"""Builds the images: by Docker where an engine answers, else by buildah on a base of our own making."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from e2e.cluster.settings import cache
from e2e.commands import CommandError, run

ROOT: Final = Path(__file__).resolve().parents[2]
TAG: Final = "dev"
_BUILD_TIMEOUT_S: Final = 900.0
_SUITE: Final = "bookworm"
_CA_BUNDLE: Final = "/etc/ssl/certs/ca-certificates.crt"
_LOCAL_BASE: Final = "localhost/tokenflow-base:bookworm"


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """An image to build.

    Attributes:
        name: its name, without the tag.
        dockerfile: what it is built by, relative to the repository.
        target: stage of the Dockerfile; the last one by default.
        base: name of another of our images that it stands on.
        shared: whether it goes to a registry too: the others are only for tests.
    """

    name: str
    dockerfile: str
    target: str = ""
    base: str = ""
    shared: bool = True

    @property
    def reference(self) -> str:
        """Name and tag."""
        return f"{self.name}:{TAG}"


IMAGES: Final = (
    Image(name="tokenflow/operator", dockerfile="Dockerfile.operator", target="operator"),
    Image(name="tokenflow/hintsvc", dockerfile="Dockerfile.operator", target="hintsvc"),
    Image(name="tokenflow/agent", dockerfile="Dockerfile.agent", target="agent"),
    Image(name="tokenflow/redis", dockerfile="e2e/images/Dockerfile.redis", shared=False),
    Image(name="tokenflow/e2e", dockerfile="e2e/images/Dockerfile.e2e", base="tokenflow/hintsvc", shared=False),
)


def build(images: Sequence[Image] = IMAGES) -> list[Path]:
    """Build the images and return an archive of each, in order.

    Raises:
        CommandError: a build failed, or neither Docker nor buildah is at hand.
    """
    builder = _Docker() if _docker_answers() else _Buildah()
    directory = cache() / "images"
    directory.mkdir(parents=True, exist_ok=True)
    archives = []
    for image in images:
        builder.build(image)
        archives.append(builder.save(image, directory))
    return archives


def _docker_answers() -> bool:
    try:
        run(["docker", "info"], timeout_s=10.0)
    except CommandError:
        return False
    return True


class _Docker:
    """Builds by a Docker engine, which pulls the bases that the Dockerfiles name."""

    def build(self, image: Image) -> None:
        arguments = [f"--build-arg=BASE_IMAGE={image.base}:{TAG}"] if image.base else []
        run(
            ["docker", "build", "-q", *_build_arguments(image), *arguments, str(ROOT)],
            timeout_s=_BUILD_TIMEOUT_S,
        )

    def save(self, image: Image, directory: Path) -> Path:
        archive = directory / f"{image.name.rsplit('/', 1)[1]}.tar"
        # What buildah remembers of an archive of this name is true no more.
        archive.with_suffix(".id").unlink(missing_ok=True)
        run(["docker", "save", "-o", str(archive), image.reference], timeout_s=_BUILD_TIMEOUT_S)
        return archive


class _Buildah:
    """Builds by buildah without a daemon, a registry or user namespaces."""

    def __init__(self) -> None:
        for program, package in (("buildah", "buildah"), ("mmdebstrap", "mmdebstrap")):
            if not shutil.which(program):
                raise CommandError(
                    f"no Docker engine answers and {program} is not installed: run 'apt-get install -y {package}'"
                )
        self._make_base()

    def build(self, image: Image) -> None:
        base = f"localhost/{image.base}:{TAG}" if image.base else _LOCAL_BASE
        bundle = os.environ.get("SSL_CERT_FILE", _CA_BUNDLE)
        # What the machine trusts, the build must trust; it is mounted, so that the image does not keep it.
        trust = [f"--volume={bundle}:{_CA_BUNDLE}:ro"] if Path(bundle).is_file() else []
        self._buildah(
            *("bud", "-q", "--layers", "--pull=false", f"--build-arg=BASE_IMAGE={base}", *trust),
            *(*_build_arguments(image), str(ROOT)),
        )

    def save(self, image: Image, directory: Path) -> Path:
        """Write the archive anew only where the image is another one."""
        archive = directory / f"{image.name.rsplit('/', 1)[1]}.tar"
        identity = self._buildah("inspect", "--type=image", "--format={{.FromImageID}}", image.reference).strip()
        known = archive.with_suffix(".id")
        if not archive.exists() or not known.exists() or known.read_text() != identity:
            archive.unlink(missing_ok=True)
            known.unlink(missing_ok=True)
            self._buildah("push", "-q", image.reference, f"docker-archive:{archive}:docker.io/{image.reference}")
            known.write_text(identity)
        return archive

    def _make_base(self) -> None:
        """Make the smallest Debian that can install packages, once."""
        recipe = ["mmdebstrap", "--quiet", "--variant=apt", "--include=ca-certificates", _SUITE, "-"]
        label = hashlib.sha256(" ".join(recipe).encode()).hexdigest()[:12]
        if f"{_LOCAL_BASE}-{label}" in self._buildah("images", "--format={{.Name}}:{{.Tag}}").split():
            return
        directory = cache() / "base"
        directory.mkdir(parents=True, exist_ok=True)
        run([*recipe[:-1], str(directory / "base.tar")], timeout_s=_BUILD_TIMEOUT_S)
        (directory / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
        self._buildah("bud", "-q", "-t", _LOCAL_BASE, "-t", f"{_LOCAL_BASE}-{label}", str(directory))

    def _buildah(self, *arguments: str) -> str:
        return run(["buildah", *arguments], env={"BUILDAH_ISOLATION": "chroot"}, timeout_s=_BUILD_TIMEOUT_S)


def _build_arguments(image: Image) -> list[str]:
    target = [f"--target={image.target}"] if image.target else []
    return [f"--file={ROOT / image.dockerfile}", f"--tag={image.reference}", *target]
