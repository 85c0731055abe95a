from fastnn.core._kernels_plain import ELEMENTWISE as ELEMENTWISE, ROW_LOSSES as ROW_LOSSES, ROWS as ROWS
