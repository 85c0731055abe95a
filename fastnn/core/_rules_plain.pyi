from typing import Final

# name: (address for float, address for double)
RULES: Final[dict[str, tuple[int, int]]]
# dtype, name: (address,)
STORED_RULES: Final[dict[str, dict[str, tuple[int]]]]
# spacing: address that loads
STORED: Final[dict[str, tuple[int, int]]]
# name: (address that loads, address that stores)
HALVES: Final[dict[str, tuple[int, int]]]
# name: (address for float, address for double)
REDUCTIONS: Final[dict[str, tuple[int, int]]]
