from typing import Final

# name: (address for float, address for double)
ELEMENTWISE: Final[dict[str, tuple[int, int]]]
ROWS: Final[dict[str, tuple[int, int]]]
ROW_LOSSES: Final[dict[str, tuple[int, int]]]
