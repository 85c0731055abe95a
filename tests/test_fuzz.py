"""A few hundred of the fuzzer's cases: tests/fuzz has the others."""
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import fastnn
from fuzz import cases
from fuzz.choices import LENGTH, Choices
from fuzz.judge import Finding, Fault, check_error, check_memory, check_same
from fuzz.operands import strided

SETTINGS = settings(max_examples=400)


@SETTINGS
@given(st.binary(min_size=0, max_size=LENGTH))
def test_any_case(data):
    cases.run(Choices(data))


@pytest.fixture(autouse=True)
def threads_as_before():
    before = fastnn.get_num_threads()
    yield
    fastnn.set_num_threads(before)


@pytest.mark.filterwarnings("ignore:.*this step is skipped:RuntimeWarning")
@pytest.mark.parametrize("case", list(dict.fromkeys(cases.CASES)), ids=lambda case: case.__name__)
def test_cases_by_number(case):
    """Each kind of case, from bytes without structure."""
    with np.errstate(all="ignore"):
        for number in range(150):
            case(Choices.numbered(0, number))


def test_the_judge_condemns():
    """What must not be is found."""
    operand = strided(Choices(b""), (3,), fastnn.get_act("tanh").forward(1.0).dtype)
    operand.room.remember()
    operand.room.buffer[0] ^= 1
    with pytest.raises(Finding, match="bytes .0. of .* changed"):
        check_memory([operand])
    operand.room.remember()
    operand.base[1] += 1
    with pytest.raises(Finding, match="changed"):
        check_memory([operand])
    with pytest.raises(Finding, match="instead of"):
        check_memory([operand], [(operand, 0.0)])
    for error in (SystemError("no"), Exception("no"), ValueError()):
        with pytest.raises(Finding, match="not a documented error"):
            check_error(error)
    check_error(ValueError("documented"))
    check_error(Fault())
    with pytest.raises(Finding):
        check_same(operand.base, operand.base.astype("f4"), "dtype")
