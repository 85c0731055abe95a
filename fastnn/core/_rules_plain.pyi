from typing import Final

# name: (address for float, for double, and for float where state may be stored in int8)
RULES: Final[dict[str, tuple[int, int] | tuple[int, int, int]]]
# name: (address that loads, address that stores)
HALVES: Final[dict[str, tuple[int, int]]]
STORED: Final[dict[str, tuple[int, int]]]
