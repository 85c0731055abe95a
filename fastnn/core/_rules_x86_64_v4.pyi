from fastnn.core._rules_plain import RULES as RULES
