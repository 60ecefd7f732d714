"""A SiliconFlow that runs on this machine, for trials and tests without a key or a bill.

It reads the API's own documents for itself and shares no code with the client: when the two
disagree, one of them misread the documents, and a refused request says so.
"""

from .server import Simulator
from .state import Charge, Record

__all__ = ["Charge", "Record", "Simulator"]
