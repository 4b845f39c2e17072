"""What an S3 store means by the code of its refusal, and what to do about it."""

from __future__ import annotations

import re

from minio.error import InvalidResponseError, S3Error, ServerError

from regioncap.services.reasons import reason

#: Says which region it is, where the store names it.
_REGION = "the bucket is in another region: set REGIONCAP_S3_REGION to its own"
_CLOCK = "this machine's clock and the store's are far apart: let NTP set it"
_NO_ROOM = "the store has no room left: make some; nothing is lost, the work goes on then"

#: What to do about a refusal, by its code.
REMEDIES = {
    "AccessDenied": "the store knows the key and does not allow this: check the policies of"
    " REGIONCAP_S3_ACCESS_KEY, and the name of the bucket",
    "AllAccessDisabled": "the store has shut this off: its owner's account tells why",
    "InvalidAccessKeyId": "the store does not know the key, or no longer: check"
    " REGIONCAP_S3_ACCESS_KEY and REGIONCAP_S3_SECRET_KEY, or make a new pair",
    "SignatureDoesNotMatch": "the secret does not belong to the key: check"
    " REGIONCAP_S3_SECRET_KEY and REGIONCAP_S3_ACCESS_KEY",
    "ExpiredToken": "the session is over: bring a new REGIONCAP_S3_SESSION_TOKEN with its keys;"
    " roles and web identities renew theirs by themselves",
    "TokenRefreshRequired": "the session is over: bring a new REGIONCAP_S3_SESSION_TOKEN with its"
    " keys",
    "InvalidToken": "check REGIONCAP_S3_SESSION_TOKEN: it belongs to one pair of keys alone",
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    "AuthorizationHeaderMalformed": _REGION,
    "AuthorizationQueryParametersError": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "IncorrectEndpoint": _REGION,
    "PermanentRedirect": "the bucket is elsewhere: set REGIONCAP_S3_ENDPOINT and"
    " REGIONCAP_S3_REGION to those of its own region",
    "TemporaryRedirect": "the bucket is elsewhere for now: try again, or set"
    " REGIONCAP_S3_ENDPOINT to that of its own region",
    "BucketAlreadyExists": "somebody else has a bucket of this name: choose another with"
    " REGIONCAP_S3_BUCKET",
    "SlowDown": "the store wants fewer requests: it is asked again; if it stays so, run fewer"
    " workers",
    "ServiceUnavailable": "the store is busy: it is asked again",
    "TooManyRequests": "the store wants fewer requests: it is asked again; if it stays so, run"
    " fewer workers",
    "ConditionalRequestConflict": "others write the same object just now: try again",
    "OperationAborted": "others change the same thing just now: try again",
    "InvalidObjectState": "it is archived: restore it first",
    "NotImplemented": "the store does not know this request: docs/stores.md says what is needed",
    "MethodNotAllowed": "the store does not know this request: docs/stores.md says what is needed",
    "QuotaExceeded": _NO_ROOM,
    "InsufficientStorage": _NO_ROOM,
    "XMinioStorageFull": _NO_ROOM,
}

#: Codes that mean: this key, with its rights, does not get at this object.
DENIED = {"AccessDenied", "InvalidObjectState", "AllAccessDisabled"}
#: Codes that mean: others are at it, ask again.
CONFLICTS = {"ConditionalRequestConflict", "OperationAborted"}
#: Codes of a request that a store does not know.
UNKNOWN = {"NotImplemented", "MethodNotAllowed"}
#: There is no such thing.
MISSING = {"NoSuchKey", "NoSuchBucket", "NoSuchObject", "NotFound", "ResourceNotFound"}


def remedy(code: str | None, region: str | None = None) -> str:
    """What to do about a refusal; empty if there is nothing to say.

    Args:
        code: The store's code.
        region: The region that the store says it is, if it does.
    """
    found = REMEDIES.get(code or "", "")
    return f"{found}, {region}" if found == _REGION and region else found


def region_of(error: S3Error) -> str | None:
    """The region that a store says the bucket is in, if it does."""
    found: str | None = getattr(error.response, "headers", {}).get("x-amz-bucket-region")
    text = getattr(error.response, "data", b"")
    if not found and (named := re.search(rb"<Region>([a-z0-9-]+)</Region>", text or b"")):
        found = named[1].decode()
    return found


def why(error: Exception) -> str:
    """Why no answer came that a store would give."""
    if isinstance(error, InvalidResponseError | ServerError):
        status = re.search(r"(?:Response code:|status code) (\d+)", str(error))
        return f"what answers there is no S3 store: status {status[1] if status else 'unknown'}"
    return reason(error)
