"""The template with another number of receives, for tests that kill more or fewer runs than six."""

from __future__ import annotations

from pathlib import Path

__all__ = ["template_with_receives"]

TEMPLATE = Path(__file__).resolve().parents[1] / "template.yaml"


def template_with_receives(folder: Path, receives: int) -> Path:
    """Write a template whose queue, and whose function, know of so many; return its path."""
    text = TEMPLATE.read_text(encoding="utf-8")
    for line in ("maxReceiveCount: {}", 'MAX_RECEIVES: "{}"'):
        assert text.count(line.format(6)) == 1, line
        text = text.replace(line.format(6), line.format(receives))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "template.yaml"
    path.write_text(text, encoding="utf-8")
    return path
