"""Where a lake lies: a directory, or a prefix of an S3 bucket with what is needed to reach it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from msgspec import Struct

from trimtab.config import Lake
from trimtab.errors import ConfigError, Unavailable

__all__ = ["Place", "explained", "place_of"]


class Place(Struct, frozen=True):
    """A lake's address. `options` reach the object store (endpoint, region); keys come from there or AWS_* variables.

    >>> Place("/srv/lake").table("feedback")
    '/srv/lake/feedback'
    """

    uri: str
    options: dict[str, str] = {}

    @property
    def folder(self) -> Path | None:
        """The directory of a lake on local disk; None for one on S3."""
        return None if "://" in self.uri else Path(self.uri)

    def table(self, name: str) -> str:
        """Return the address of one table."""
        return f"{self.uri.rstrip('/')}/{name}"

    def open(self, name: str) -> DeltaTable | None:
        """Open a table at its newest version; None when there is none yet."""
        try:
            return DeltaTable(self.table(name), storage_options=self.options or None)
        except TableNotFoundError:
            return None


def place_of(settings: Lake, storage: Path, environ: Mapping[str, str]) -> Place:
    """Return where the settings put the lake. Raises ConfigError for an address of no kind we write to."""
    if not settings.uri:
        return Place(str(storage / "lake"))
    if "://" not in settings.uri:
        return Place(settings.uri)
    if not settings.uri.startswith("s3://"):
        raise ConfigError(
            f"expected a directory or s3://bucket/prefix in lake.uri, got {settings.uri!r}", param="lake.uri"
        )
    options = {}
    if settings.endpoint:
        options["AWS_ENDPOINT_URL"] = settings.endpoint
        if settings.endpoint.startswith("http://"):
            options["AWS_ALLOW_HTTP"] = "true"
    if settings.region:
        options["AWS_REGION"] = settings.region
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        if environ.get(name):
            options[name] = environ[name]
    return Place(settings.uri, options)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn the lake's own errors into Unavailable, saying what could not be done."""
    try:
        yield
    except (DeltaError, OSError) as error:
        raise Unavailable(f"the lake could not {what}: {str(error).strip().splitlines()[0]}; try again") from error
