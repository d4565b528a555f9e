"""Fixtures: a sandbox without limits for all tests, as new for each; clients."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import tpmtest  # noqa: E402
from sandbox_client import Client  # noqa: E402

UNLIMITED = ("--records", "300", "--rate-per-second", "0", "--rate-per-hour", "0")


def started(*arguments):
    """A sandbox for as long as a test module or session wants it."""
    sandbox = tpmtest.Sandbox(*UNLIMITED, *arguments).start()
    yield sandbox
    sandbox.stop()


@pytest.fixture(scope="session")
def shared():
    yield from started()


@pytest.fixture(scope="session")
def special():
    """Tokens that live for a second, a client with an odd secret, an endpoint with a limit."""
    yield from started("--token-lifetime", "1", "--client", "odd id:p%:s s+ü&=", "--endpoint-limit", "/users=2")


@pytest.fixture
def sandbox(shared):
    shared.reset(data=True)
    return shared


@pytest.fixture
def client(sandbox):
    return Client(sandbox.port)
