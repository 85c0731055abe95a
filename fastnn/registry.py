"""Names: aliases, spellings, and the nearest ones to a name that is not known. Knows no activation and no optimizer."""
from difflib import get_close_matches
from threading import Lock


def folded(name):
    """Names ignore case, spaces, - and _."""
    return "".join(c for c in name.lower() if c not in " -_")


LIKENESS = 0.5                  # of what is nearly a name,
OF_ALIASES = 0.6                # and of what is nearly another name of one


def nearest(name, known, likeness=LIKENESS):
    """The known names most like `name`, best first, for an error message; none that are less alike."""
    spelled = {folded(k): k for k in known}
    return [spelled[f] for f in get_close_matches(folded(name), spelled, n=3, cutoff=likeness)]


def hint(name, known, likeness=LIKENESS):
    """" (did you mean a or b?)", or nothing where no known name is near."""
    near = nearest(name, known, likeness)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def listed(known):
    """" (there are a, b, c)": for where no known name is near."""
    return f" (there are {', '.join(known)})"


class Registry:
    """Classes by name: those of the catalogue, and in front of them those that users registered.

    A class may say in `also_known`, {name: how it is made}, what is known by another name and is this class with other
    arguments.

    Parameters
    ----------
    noun : str
        What an entry is called in an error message, as in "Unknown optimizer".
    """

    def __init__(self, noun):
        self.noun = noun
        self.dialects = {}          # source -> the registry of its names
        self.elsewhere = {}         # what is no entry, but looked for here -> how it is made
        self._catalogue = {}        # folded name or alias -> (name, class)
        self._registered = {}
        self._spelled = {}          # the same -> as it was entered
        self._changing = Lock()

    def dialect(self, source):
        """The registry of the names of a source, such as "article". Its rows are in fastnn/dialects."""
        return self.dialects.setdefault(source, Registry(self.noun))

    def add(self, name, cls, aliases=(), replace=None):
        """Enter a class under its name and aliases.

        With replace=None it belongs to the catalogue. With True or False it is a user's, which `remove` takes out again,
        and the answer to whether it may take the place of another.

        Raises TypeError for a name that is no string, ValueError for one that is taken or empty.
        """
        with self._changing:
            for spelling in (name, *aliases):
                self.check(spelling, bool(replace))
            entries = self._catalogue if replace is None else self._registered
            if replace and self.registered(name):
                self._take_out(name)
            self._spelled.update({folded(spelling): spelling for spelling in (name, *aliases)})
            entries.update({folded(spelling): (name, cls) for spelling in (name, *aliases)})

    def check(self, name, replace=False):
        """Raises what `add` would raise."""
        self._must_be_string(name)
        if not folded(name):
            raise ValueError(f"{name!r} is no name for an {self.noun}")
        if name in self and not replace:
            raise ValueError(f"the name {name!r} is taken (replace=True takes it)")

    def remove(self, name):
        """Take out what a user registered; what it replaced in the catalogue is back. Raises ValueError for others."""
        with self._changing:
            if not self.registered(name):
                if name in self:
                    raise ValueError(f"{name!r} belongs to fastnn's own catalogue: it cannot be removed")
                raise self._unknown(name)
            self._take_out(name)

    def _take_out(self, name):
        """What is registered by that name, with its other names."""
        entry = self._registered[folded(name)]
        for key in [key for key, each in self._registered.items() if each == entry]:
            del self._registered[key]

    def catalogued(self, name):
        """The class of that name in the catalogue, whatever users have put in its place."""
        return self._catalogue[folded(name)][1]

    def registered(self, name):
        """Whether the entry of that name is a user's."""
        self._must_be_string(name)
        return folded(name) in self._registered

    def names(self):
        """The canonical names, in the order of the catalogue, then those of users in the order of their registration."""
        shown = {key: entry for key, entry in self._catalogue.copy().items() if key not in self._registered}
        shown.update(self._registered.copy())
        return [name for key, (name, _) in shown.items() if key == folded(name)]

    def __contains__(self, name):
        return folded(name) in self._registered or folded(name) in self._catalogue

    def __getitem__(self, name):
        """The class of that name. Raises TypeError if it is no string, ValueError if it is not known."""
        self._must_be_string(name)
        key = folded(name)
        found = self._registered.get(key) or self._catalogue.get(key)
        if found is None:
            raise self._unknown(name) from None
        return found[1]

    def _must_be_string(self, name):
        if not isinstance(name, str):
            raise TypeError(f"the name of an {self.noun} must be a string, not {type(name).__name__}")

    def _unknown(self, name):
        known = [getattr(cls, "also_known", {}) for _, cls in (*self._registered.copy().values(),
                                                               *self._catalogue.copy().values())]
        made = {folded(other): how for also in (self.elsewhere, *known) for other, how in also.items()}
        made = made.get(folded(name))
        said = f" (it is {made})" if made else self._near(name) or listed(self.names())
        return ValueError(f"Unknown {self.noun}: {name!r}{said}")

    def _near(self, name):
        """" (did you mean a or b (an alias of c)?)", or nothing: of the nearest spellings, each entry once."""
        entries = {**self._catalogue.copy(), **self._registered.copy()}
        found = {}
        closer = get_close_matches(folded(name), entries, n=9, cutoff=OF_ALIASES)
        for spelling in get_close_matches(folded(name), entries, n=9, cutoff=LIKENESS):
            if spelling in closer or spelling == folded(entries[spelling][0]):
                found.setdefault(entries[spelling], spelling)
        said = [own if spelling == folded(own) else f"{self._spelled[spelling]}, which is {own},"
                for (own, _), spelling in list(found.items())[:3]]
        return f" (did you mean {' or '.join(said).removesuffix(',')}?)" if said else ""
