"""The one error that a user can cause."""


class InputError(Exception):
    """A problem in the user's files or settings.

    The message is complete by itself: what is wrong, where (file, row, column or keyword), what was
    expected and what to do. It is shown without a traceback.
    """


def not_read(error: InputError, path: str) -> str:
    """Why a raw file could not be read, as a reason in a published table: without its path."""
    return "cannot be read: " + str(error).removeprefix(f"{path}: ").replace(path, "the file")
