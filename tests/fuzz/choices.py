"""A case's choices, read from bytes: the same bytes make the same case."""
from hashlib import shake_128

LENGTH = 256        # bytes a case; where they run out the first option is chosen


class Choices:
    def __init__(self, data):
        self.data, self.at = data, 0

    @classmethod
    def numbered(cls, seed, number):
        return cls(shake_128(f"{seed}:{number}".encode()).digest(LENGTH))

    def below(self, n):
        """From 0 to n - 1, 0 being the plainest."""
        at, self.at = self.at, self.at + (1 if n <= 256 else 2)
        return int.from_bytes(self.data[at:self.at], "little") % n

    def of(self, options):
        return options[self.below(len(options))]

    def once_in(self, n):
        return self.below(n) == n - 1
