"""Names: aliases, spellings, and the nearest ones to a name that is not known. Knows no activation and no optimizer."""
from difflib import get_close_matches


def folded(name):
    """Names ignore case, spaces, - and _."""
    return "".join(c for c in name.lower() if c not in " -_")


def nearest(name, known):
    """The known names most like `name`, best first, for an error message."""
    spelled = {folded(k): k for k in known}
    return [spelled[f] for f in get_close_matches(folded(name), spelled, n=3, cutoff=0.5)]


def hint(name, known):
    """" (did you mean a or b?)", or nothing where no known name is near."""
    near = nearest(name, known)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


class Registry:
    """Classes by name.

    Parameters
    ----------
    noun : str
        What an entry is called in an error message, as in "Unknown optimizer".
    """

    def __init__(self, noun):
        self.noun = noun
        self._classes = {}          # canonical name -> class
        self._folded = {}           # folded name or alias -> canonical name

    def add(self, name, cls, aliases=()):
        """Enter a class under its name and aliases. Raises ValueError if one is taken."""
        for spelling in (name, *aliases):
            if folded(spelling) in self._folded:
                raise ValueError(f"the name {spelling!r} is taken")
        self._classes[name] = cls
        self._folded.update({folded(spelling): name for spelling in (name, *aliases)})

    def names(self):
        """The canonical names, in the order of the catalogue."""
        return list(self._classes)

    def __getitem__(self, name):
        """The class of that name. Raises TypeError if it is no string, ValueError if it is not known."""
        if not isinstance(name, str):
            raise TypeError(f"the name of an {self.noun} must be a string, not {type(name).__name__}")
        try:
            return self._classes[self._folded[folded(name)]]
        except KeyError:
            raise ValueError(f"Unknown {self.noun}: {name!r}{hint(name, self._classes)}") from None
