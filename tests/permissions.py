"""Permissions that hold in tests, also where these run as root."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

NOBODY = 65534


@contextmanager
def bound_by_permissions() -> Iterator[None]:
    """Root is nobody within; paths must then be relative, for the folders above may be root's."""
    if os.geteuid() != 0:
        yield
        return
    try:
        os.seteuid(NOBODY)
    except OSError:
        pytest.skip("root here may not become another user, and permissions do not bind root")
    try:
        yield
    finally:
        os.seteuid(0)
