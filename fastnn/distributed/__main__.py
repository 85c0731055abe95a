"""``mpiexec -n N python -m fastnn.distributed``: what a step costs on so many ranks."""
from .measure import main

main()
