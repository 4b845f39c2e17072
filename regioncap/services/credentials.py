"""Whose requests to the store are: keys of the settings, or what the cloud gives this machine.

Where the settings name no key, these are asked, in this order; the first that has some is taken:

    environment        AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
    shared file        ~/.aws/credentials, AWS_SHARED_CREDENTIALS_FILE, AWS_PROFILE
    web identity       AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, as Kubernetes sets them
    container role     AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI
    instance role      the metadata address, unless AWS_EC2_METADATA_DISABLED is true

Each is a provider of minio-py's. Where none has any, requests are not signed.
"""

from __future__ import annotations

import configparser
import os
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import structlog
import urllib3
from minio.credentials.credentials import Credentials
from minio.credentials.providers import (
    AWSConfigProvider,
    EnvAWSProvider,
    IamAwsProvider,
    Provider,
    StaticProvider,
)

from regioncap.errors import StoreError, UsageError
from regioncap.services.reasons import reason
from regioncap.settings import Settings

_log = structlog.get_logger("regioncap")

#: Credentials that end are renewed so long before: a request may take minutes.
MARGIN = timedelta(minutes=5)
#: Time between two tries to renew what still holds, and after which a file is read again.
AGAIN_S = 60.0

#: What a provider raises that has none.
_NONE_THERE = (
    ValueError, KeyError, TypeError, OSError, configparser.Error, ET.ParseError,
    urllib3.exceptions.HTTPError,
)  # fmt: skip


def provider_of(settings: Settings) -> Provider:
    """Gives the credentials for each request, renewed in time.

    Raises:
        UsageError: Of key and secret one is missing.
    """
    key, secret = settings.s3_access_key, settings.s3_secret_key.get_secret_value()
    token = settings.s3_session_token.get_secret_value()
    if not key and not secret and not token:
        return Renewed(SOURCES)
    if key and secret:
        return StaticProvider(key, secret, token or None)
    raise UsageError(
        f"s3_{'secret' if key else 'access'}_key: it is missing beside the other credentials",
        code="bad-settings",
        hint="give key and secret together, or neither: then those of the cloud are looked for",
    )


def _instance() -> Provider:
    """A role of the web identity, the container or the machine."""
    if os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        endpoint = os.environ.get("AWS_ENDPOINT_URL_STS")
    elif _has_container():
        endpoint = None
    elif os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        raise ValueError("AWS_EC2_METADATA_DISABLED is true")
    else:
        endpoint = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT")
    return IamAwsProvider(
        custom_endpoint=endpoint and endpoint.rstrip("/"),
        # At a machine that is in no cloud nothing answers at the metadata address.
        http_client=urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=1.0, read=5.0),
            retries=urllib3.Retry(1, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504]),
        ),
    )


def _has_container() -> bool:
    names = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"
    return any(os.environ.get(name) for name in names)


#: Where credentials may be, by the names that users know.
SOURCES: dict[str, Callable[[], Provider]] = {
    "environment": EnvAWSProvider,
    "shared file": AWSConfigProvider,
    "role": _instance,
}


def _is_promised() -> bool:
    """Whether this machine was told that there are credentials: then unsigned is never right."""
    return bool(os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE")) or _has_container()


class Renewed(Provider):
    """The first credentials that are found, renewed before they end; thread-safe.

    Args:
        sources: Makes the providers to ask, by their names, in this order.
        clock: The time, in UTC.
        monotonic: Seconds, never going back.
    """

    def __init__(
        self,
        sources: dict[str, Callable[[], Provider]],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sources = sources
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._held: Credentials | None = None
        self._looked_s: float | None = None
        #: The name of the source that had some; empty if none has.
        self.found_in = ""

    def retrieve(self) -> Credentials | None:  # type: ignore[override] # minio-py then signs nothing
        """The credentials that hold now; None if there are none, and none were promised.

        Raises:
            StoreError: They have ended and cannot be renewed, or were promised and are not there
                (`no-credentials`).
        """
        with self._lock:
            if self._is_time():
                self._look()
            return self._held

    def _is_time(self) -> bool:
        if self._looked_s is None:
            return True
        if self._held is not None and self._left(self._held) <= timedelta(0):
            return True
        is_due = self._held is None or not self._held.expiration or self._left(self._held) < MARGIN
        return is_due and self._monotonic() - self._looked_s >= AGAIN_S

    def _left(self, held: Credentials) -> timedelta:
        """How long credentials hold."""
        if held.expiration is None:
            return timedelta.max
        return held.expiration.replace(tzinfo=UTC) - self._clock()

    def _look(self) -> None:
        missing = {}
        for name, make in self._sources.items():
            try:
                # A new one each time: providers keep what they have until it has all but ended.
                self._held = make().retrieve()
            except _NONE_THERE as error:
                missing[name] = _why(error)
            else:
                self._looked_s, self.found_in = self._monotonic(), name
                return
        self._looked_s = self._monotonic()
        why = "; ".join(f"{name}: {text}" for name, text in missing.items())
        if self._held is not None and self._left(self._held) > timedelta(0):
            _log.warning("credentials of the store not renewed", error=why)
        elif self._held is not None or _is_promised():
            self._looked_s = None
            raise StoreError(
                f"there are no credentials for the S3 store ({why})",
                code="no-credentials",
                hint="set REGIONCAP_S3_ACCESS_KEY and REGIONCAP_S3_SECRET_KEY, or see to the role",
            )


def _why(error: Exception) -> str:
    if isinstance(error, OSError | urllib3.exceptions.HTTPError):
        return reason(error)
    # An address may hold the token of a web identity.
    words = re.sub(r"\?\S*", "", str(error))
    return words.splitlines()[0][:200] if words.strip() else type(error).__name__
