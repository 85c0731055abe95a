from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

class Lock:
    def _alone(self, function: Callable[..., T], *args: Any) -> T: ...
    def _put(self, functions: list[Callable[[], object]], attributes: dict[str, Any]) -> None: ...
