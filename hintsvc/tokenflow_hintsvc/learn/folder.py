"""Models in directories: ``DIR/<version>/`` with the model's files."""

from collections.abc import Iterator
from pathlib import Path

from tokenflow_hintsvc.learn.errors import ModelFormatError, RegistryError
from tokenflow_hintsvc.learn.model import CARD, FILES, MAX_CARD, MAX_FILE, Bundle, read_card


def write(bundle: Bundle, out: Path) -> Path:
    """Put a model under ``out``; return its directory.

    Raises:
        RegistryError: that version is there already, or it cannot be written.
    """
    place = out / read_card(bundle).version
    unfinished = out / f".{place.name}.part"
    try:
        if place.exists():
            raise RegistryError(f"{place} is there already: remove it, or name another with --version")
        unfinished.mkdir(parents=True, exist_ok=True)
        for name, data in bundle.items():
            (unfinished / name).write_bytes(data)
        unfinished.rename(place)
    except OSError as error:
        raise RegistryError(f"{place} cannot be written: {error.strerror or error}") from error
    return place


def read(place: Path) -> Bundle:
    """Return the files of the model in ``place``, or of the newest one below it.

    Raises:
        ModelFormatError: a file is larger than any of a model.
        RegistryError: there is none, or it cannot be read.
    """
    if not (place / CARD).is_file():
        found = list(models(place))
        if not found:
            raise RegistryError(f"{place} holds no model: make one with 'tokenflow-hintsvc train --out {place}'")
        place = max(found, key=lambda each: read_card(_files(each, {CARD})).created_unix_ms)
    return _files(place, {CARD, *FILES})


def models(place: Path) -> Iterator[Path]:
    """Yield the directories of the models below ``place``."""
    for card in sorted(place.glob(f"*/{CARD}")):
        if not card.parent.name.startswith("."):
            yield card.parent


def _files(place: Path, names: set[str]) -> Bundle:
    bundle = {}
    try:
        for name in sorted(names):
            with (place / name).open("rb") as file:
                most = MAX_CARD if name == CARD else MAX_FILE
                bundle[name] = file.read(most + 1)
            if len(bundle[name]) > most:
                raise ModelFormatError(f"{place / name} is larger than {most} bytes: no model's file is")
    except OSError as error:
        raise RegistryError(f"{place} holds no whole model: {error.filename}: {error.strerror}") from error
    return bundle
