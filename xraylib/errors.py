"""How the message of another library's error is told within one of ours."""


def one_line(error: Exception) -> str:
    """The message in one line of at most 200 characters, or the error's name where it has none."""
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
