"""Names of everything that the embedded suite draws: one source for renderers, captions, datasets and tests."""

from __future__ import annotations

SHAPES = (
    "circle", "square", "triangle", "star", "heart", "cross", "ring", "crescent", "arrow", "hexagon",
    "diamond", "oval", "cloud", "drop", "bolt", "house", "tree", "fish", "flower", "gear",
)  # fmt: skip
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
# Label order of the Textures set: its first eight are the base classes; look-alikes are on different sides.
TEXTURES = (
    "striped", "dotted", "checkered", "zigzag", "marbled", "ringed", "woven", "honeycombed",
    "grid", "wavy", "speckled", "cracked", "scaly", "bricked", "swirled", "cloudy",
)  # fmt: skip
NOUNS = SHAPES + DIGITS + LETTERS + TEXTURES
PATTERNS = ("solid", "striped", "dotted", "checkered", "speckled", "shaded")
FIELDS = PATTERNS + tuple(name for name in TEXTURES if name not in PATTERNS)  # every pattern that can be drawn

COLOURS = {
    "red": (0.86, 0.12, 0.12),
    "orange": (0.97, 0.55, 0.10),
    "yellow": (0.96, 0.88, 0.20),
    "green": (0.15, 0.62, 0.22),
    "blue": (0.13, 0.30, 0.85),
    "purple": (0.50, 0.15, 0.62),
    "pink": (0.97, 0.55, 0.74),
    "brown": (0.46, 0.28, 0.12),
    "black": (0.05, 0.05, 0.05),
    "white": (0.96, 0.96, 0.96),
    "gray": (0.50, 0.50, 0.50),
}

# Even-numbered shapes make the base classes of Objects and Shapes, odd-numbered ones the new classes.
OBJECT_CLASSES = SHAPES[0::2] + SHAPES[1::2]
LETTER_CLASSES = tuple("ACEHIKMORSUXZBDFGJLNPQTVWY")


def _shape_patterns(shape: str) -> tuple[str, str]:
    i = SHAPES.index(shape)
    return PATTERNS[1 + i % 5], PATTERNS[1 + (i + 2) % 5]


SHAPE_CLASSES = tuple(f"{pattern} {shape}" for shape in OBJECT_CLASSES for pattern in _shape_patterns(shape))
# The second pattern of every shape never meets that shape in pre-training, neither in an image nor in a caption.
HELD_OUT = frozenset((_shape_patterns(shape)[1], shape) for shape in SHAPES)

CLASSES = {
    "digits": DIGITS,
    "shapes": SHAPE_CLASSES,
    "textures": TEXTURES,
    "letters": LETTER_CLASSES,
    "objects": OBJECT_CLASSES,
}
