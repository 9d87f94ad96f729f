"""Text that comes from users' objects, made fit to be sent."""

from __future__ import annotations

LIMIT = 1_000_000


def encodable(text: str) -> str:
    """`text` with lone surrogates, which UTF-8 cannot carry, as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def sendable(text: str, limit: int = LIMIT) -> str:
    """`text` as `encodable` makes it, and cut in its middle if it is very long."""
    if len(text) > limit:
        half = limit // 2
        text = f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"
    return encodable(text)
