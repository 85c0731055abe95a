"""Makes `oracles` and `helpers` importable, wherever pytest was started and whichever fastnn is installed."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
