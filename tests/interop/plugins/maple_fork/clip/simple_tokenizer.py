"""Words to numbers: not CLIP's, so that it shows whose tokenizer a trainer has."""

from zlib import crc32


class SimpleTokenizer:
    def __init__(self):
        self.encoder = {"<|startoftext|>": 49406, "<|endoftext|>": 49407}

    def encode(self, text):
        return [crc32(word.encode()) % 40000 for word in text.lower().split()]
