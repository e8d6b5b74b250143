"""Reads where receivers are from the Secrets that notifiers name, one GET each, and from no others."""

import base64
import binascii
from typing import Final
from urllib.parse import urlsplit

from tokenflow_api.pacing_policy import Notifier
from tokenflow_operator.errors import ForbiddenError, KubeError, NotFoundError
from tokenflow_operator.keys import Key
from tokenflow_operator.kube import Kube, Manifest
from tokenflow_operator.kube.kinds import SECRET
from tokenflow_operator.notify.errors import ReceiverAwayError, ReceiverUnusableError, SecretForbiddenError
from tokenflow_operator.notify.model import URL_KEY

_LONGEST: Final = 2048


class Addresses:
    """The URLs of receivers. Nothing of them is kept, so that one that is changed counts from the next message on."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def url(self, policy: Key, notifier: Notifier) -> str:
        """Return where a notifier's receiver is.

        Raises:
            SecretForbiddenError: the operator may not read the Secret.
            ReceiverUnusableError: the Secret does not exist, or holds no URL.
            ReceiverAwayError: the Kubernetes API cannot tell now.
        """
        name = notifier.secret_ref.name
        try:
            secret = await self._kube.get(SECRET, namespace=policy.namespace, name=name)
        except ForbiddenError as error:
            raise SecretForbiddenError(f"Secret {name} may not be read") from error
        except NotFoundError as error:
            raise ReceiverUnusableError(f"there is no Secret {name}") from error
        except KubeError as error:
            raise ReceiverAwayError(f"Secret {name} cannot be read now: {error}") from error
        return _url(secret, name)


def _url(secret: Manifest, name: str) -> str:
    try:
        url = base64.b64decode(secret.get("data", {}).get(URL_KEY, ""), validate=True).decode().strip()
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and len(url) <= _LONGEST
        # An address with a port that is no number fails here, and not while it is sent to.
        _ = parts.port
    except (binascii.Error, ValueError):
        usable = False
    if not usable:
        raise ReceiverUnusableError(f"Secret {name} holds no URL of at most {_LONGEST} characters")
    return url
