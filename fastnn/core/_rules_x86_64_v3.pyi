from fastnn.core._rules_plain import HALVES as HALVES, RULES as RULES, STORED as STORED, STORED_RULES as STORED_RULES
