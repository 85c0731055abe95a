from fastnn.core._rules_plain import HALVES as HALVES, REDUCTIONS as REDUCTIONS, RULES as RULES
from fastnn.core._rules_plain import STORED as STORED, STORED_RULES as STORED_RULES
