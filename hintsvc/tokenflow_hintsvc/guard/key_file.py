"""The keys of the cluster's issuer from a file, where the API server is not to be asked for them."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

from tokenflow_hintsvc.errors import KeysError
from tokenflow_hintsvc.guard.keysets import Issued


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyFile:
    """A mounted copy of an issuer's JWKS document.

    Attributes:
        issuer: its name, as the tokens' ``iss`` claim has it.
        file: the document; it is read anew when a token names a key that it did not hold.
    """

    issuer: str
    file: Path

    async def fetch(self) -> Issued:
        """Return the issuer and its JWKS document.

        Raises:
            KeysError: the file cannot be read, or holds no such document.
        """
        try:
            document = json.loads(await asyncio.to_thread(self.file.read_bytes))
        except (OSError, ValueError) as error:
            raise KeysError(f"the issuer's keys in {self.file} cannot be read: {error}") from error
        if not isinstance(document, dict):
            raise KeysError(f"{self.file} holds no JWKS document")
        return Issued(issuer=self.issuer, document=document)
