"""Fingerprints of CoOp's split files: sha256 of [train, val, test] as compact JSON (`checkup.split_sha256`).

The numbers of items do not tell a published split from a generated one: DescribableTextures and EuroSAT come out with
equal numbers. For the splits that are not listed (Food101, SUN397) only the numbers are checked.
"""

SPLIT_SHA256 = {
    "Caltech101": "17c403faec919d379f39dc7d3b6c6ac6681a16d4bac38bf9f45b2fa97fc27b6f",
    "DescribableTextures": "460b9ea269753f33a1a5f348c87c27cb0c6c154e9991018006b86a2a16ed6331",
    "EuroSAT": "3c417b259c8aff68d9dbf47142524b3ee641419d6d6d2a313d650b5af8d1110e",
    "OxfordFlowers": "a93b5800cd8892ae98cfc3b9ec3b37ece80aa627b0b6197db46dfdbf99042df9",
    "OxfordPets": "fbb12e86a2462a066ade4063b6b8bc90548b6a972765e496b8f628348d8e2b07",
    "StanfordCars": "dcea0404a53aa64574091b79f3e076770f5bf0cff4cfcc50f69a2229c5e04bf5",
    "UCF101": "86e0d907236fc556f8cc9e07f6bd82285054fc83a82a3284fcbdd88a1db9e61e",
}
