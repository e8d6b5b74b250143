"""What is wrong with a document, in one line."""

from pydantic import ValidationError


def first_fault(error: ValidationError, *, whole: str = "document") -> str:
    """Return where the first fault lies and what it is; never the value, which may be a secret.

    Args:
        error: what validation raised.
        whole: what the place is called where it is the document itself.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or whole
    return f"{where}: {first['msg']}"
