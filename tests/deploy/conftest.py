"""A page that is served, for tests that ask it by HTTP or in a browser."""

from functools import partial

import pytest

from tests import squares_bundle
from tests.served_page import served


@pytest.fixture(scope="session")
def squares(tmp_path_factory):
    """A bundle that finds bright squares."""
    return squares_bundle.write(tmp_path_factory.mktemp("model") / "squares.maskline.zip")


@pytest.fixture
def serve(squares):
    """Function of limits: a page, served while the block lasts."""
    pytest.importorskip("fastapi", reason="requirements-serve.txt is not installed")
    return partial(served, squares)


@pytest.fixture
def page(serve):
    with serve() as one:
        yield one
