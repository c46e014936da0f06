"""The one exception for mistakes in what the user gave us."""


class InputError(ValueError):
    """A mistake in data or params: one sentence with the file or key, the value, what to do.

    A stage's guard turns it into an exit with that sentence; every other exception is a defect
    of ours and keeps its traceback.
    """
