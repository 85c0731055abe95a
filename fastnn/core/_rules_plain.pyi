from typing import Final

# name: (address for float, address for double)
RULES: Final[dict[str, tuple[int, int]]]
# name: (address that loads, address that stores)
HALVES: Final[dict[str, tuple[int, int]]]
STORED: Final[dict[str, tuple[int, int]]]
