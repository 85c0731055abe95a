"""A fuzzer for fastnn's public calls: hostile arrays, liars, and user code that changes arrays during a call.

A string of bytes is a case: `choices` reads it, `operands` and `hooks` make arguments of it, `cases` the call; `judge`
says what is wrong with what came of it. Three ways to run it: tests/test_fuzz.py (hypothesis, a few seconds),

    cd tests && python -m fuzz --cases 1000000 --seed 1         # or --case SEED:NUMBER for a single one
    cd tests && python -m fuzz.guided [arguments of libFuzzer]  # by coverage of the Python code; needs atheris
"""
