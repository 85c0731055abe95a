from types import SimpleNamespace
_T = {n: SimpleNamespace(name=n, arity=1) for n in "exp log log1p expm1 tanh sin cos sqrt erf erfc expit".split()}
def named(q):
    m, _, n = q.rpartition(".")
    return _T.get(n)
