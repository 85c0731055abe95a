"""What fastnn must compute, written a second time for reading rather than for speed.

Nothing here imports fastnn. Formulas come from the catalogue and the papers; arithmetic is mpmath where a
result must be exact and plain float64 NumPy where the sequence of steps is what matters.
"""
