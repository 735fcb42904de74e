"""One family of errors, each with facts and a remedy."""

import pytest

from sift_core import errors
from sift_core.errors import SiftCoreError

FAMILY = [kind for kind in vars(errors).values() if isinstance(kind, type)]


@pytest.mark.parametrize("kind", FAMILY)
def test_every_error_is_of_the_family_and_tells_the_remedy(kind: type[SiftCoreError]) -> None:
    error = kind("It broke.", remedy="mend it.")
    assert isinstance(error, SiftCoreError)
    assert str(error) == "It broke. Remedy: mend it."
    assert (error.facts, error.remedy) == ("It broke.", "mend it.")


@pytest.mark.parametrize("kind", FAMILY)
def test_an_error_without_a_remedy_cannot_be_made(kind: type[SiftCoreError]) -> None:
    with pytest.raises(TypeError):
        kind("It broke.")  # type: ignore[call-arg]
