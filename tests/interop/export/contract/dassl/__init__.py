"""Dassl as its API says, and nothing more: what our exported methods are tested on, since upstream cannot be had here.

Engine, data and evaluation are written from the description of the API alone. Other parts are ours (`hidden_engine`, a
copy of our `dassl` under another name), cut down to the names that upstream has.
"""

__version__ = "0.6.3"
