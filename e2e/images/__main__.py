"""``python -m e2e.images``: build all images and print where their archives are."""

import argparse
import sys

from e2e.commands import CommandError
from e2e.images import IMAGES, build


def main() -> int:
    """Run the command line: 0, 1 when a build failed, 2 for a wrong command line."""
    parser = argparse.ArgumentParser(prog="python -m e2e.images", description=__doc__)
    known = {image.name.rsplit("/", 1)[1]: image for image in IMAGES}
    parser.add_argument("name", nargs="*", help=f"which to build, all by default: {', '.join(known)}")
    arguments = parser.parse_args()
    if unknown := set(arguments.name) - known.keys():
        parser.error(f"no image is called {', '.join(sorted(unknown))}: write {', '.join(known)}")
    try:
        archives = build([known[name] for name in arguments.name or known])
    except CommandError as error:
        print(f"e2e.images: {error}", file=sys.stderr)
        return 1
    print("\n".join(str(archive) for archive in archives))
    return 0


if __name__ == "__main__":
    sys.exit(main())
