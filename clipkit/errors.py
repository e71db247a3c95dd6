"""The one exception for bad input."""


class InputError(ValueError):
    """Wrong input of the user. The message is one sentence: what is wrong, where, and what to do."""

    one_sentence = True  # a command line shows the message alone
