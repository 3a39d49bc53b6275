"""The size rule: whole visual tokens, within a range of pixels and the longest edge."""

from __future__ import annotations

import pytest

from ziprerank_integrations.pages import sizes


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (100, 100, (96, 96)),
        (1000, 700, (992, 704)),  # rounded only
        (4000, 3000, (1152, 864)),  # shrunk to at most a million pixels
        (20, 30, (64, 96)),  # enlarged to at least 4096 pixels
    ],
)
def test_sizes_are_multiples_of_a_token_within_the_range(
    height: int, width: int, size: tuple[int, int]
) -> None:
    assert sizes.smart_resize(height, width, 32, 4096, 1_000_000) == size
    assert 4096 <= size[0] * size[1] <= 1_000_000


def test_images_are_only_shrunk_and_rendered_pages_also_enlarged() -> None:
    rule = sizes.Sizes(max_side=1024, factor=32, min_pixels=1024, max_pixels=10**8)
    assert rule(300, 200, False) == (288, 192)
    assert rule(300, 200, True) == (1024, 672)
    assert rule(3000, 2000, False) == rule(3000, 2000, True) == (1024, 672)


def test_within_keeps_the_proportions() -> None:
    rule = sizes.within(100)
    assert rule(400, 200, False) == (100, 50)
    assert rule(40, 20, False) == (40, 20)
    assert rule(40, 20, True) == (100, 50)
    assert rule(4000, 1, True) == (100, 1)
    with pytest.raises(ValueError, match="at least 1 pixel"):
        sizes.within(0)
