from typing import Final

# name: (address for float, address for double)
RULES: Final[dict[str, tuple[int, int]]]
