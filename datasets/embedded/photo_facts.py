# ruff: noqa: E501  # the table has one class a line
"""What photographs of Caltech101's and CIFAR-10's classes show, in words that many classes share.

Written for this project from general knowledge, without the images. A model that has learned the shared words from the
photographs of some classes can know a class that it has never seen by what is said of it (Lampert et al. 2009).
"""

from __future__ import annotations

import random

# One class a line: name | kinds | looks | parts | places; several values by commas.
_TABLE = """
face | person, head | pink, round | eyes, hair, mouth, nose | in a room
leopard | animal, mammal, cat | yellow, brown, spotted, furry | four legs, tail, ears | on grass, in a forest
motorbike | vehicle, machine | black, red, shiny, metal | wheels, seat, engine, handles | on a white background
accordion | instrument | red, black, boxy, striped, folded | keys, buttons, straps | on a white background
airplane | vehicle, aircraft | white, gray, long, metal | wings, tail, windows, engine | in the sky, on a road
anchor | tool | black, gray, metal, curved, pointed | hooks, ring, rope | on a white background
ant | insect, animal | black, red, small, thin | six legs, feelers, claws | on the ground
barrel | container | brown, wooden, round, large | bands, lid | on the ground, on a white background
bass | fish, animal | green, gray, long, scaly | fins, tail, mouth, eyes | in water, in a hand
beaver | animal, mammal | brown, furry, fat | four legs, tail, teeth | in water, on the ground
binocular | device | black, shiny, small | lenses, tubes, straps | on a white background
bonsai | plant, tree | green, brown, small, curved | leaves, branches, trunk, pot | on a table, on a white background
brain | organ | pink, gray, round, folded | folds | on a white background, on a black background
brontosaurus | dinosaur, animal, reptile, drawing | gray, green, long, large | neck, tail, four legs | on a white background
buddha | statue, person | yellow, shiny, metal, stone, fat | head, arms, eyes | in a room, in a temple
butterfly | insect, animal | orange, black, yellow, spotted, flat | wings, six legs, feelers | on a flower, on a leaf
camera | device, machine | black, gray, shiny, boxy | lenses, buttons, straps | on a white background
cannon | weapon, machine | black, brown, metal, long | wheels, tubes | on grass, outdoors
car side | vehicle, machine | red, white, black, shiny, metal | wheels, windows, doors | on a road, outdoors
ceiling fan | machine, furniture, light | white, brown, flat, wooden | blades, lamps, rod | on a white background, in a room
cellphone | device | black, gray, small, boxy | screen, buttons | on a white background
chair | furniture | brown, wooden, black | seat, back, four legs | on a white background, in a room
chandelier | light, furniture | yellow, shiny, glass, metal, hanging | arms, candles, lamps, chain | in a room, on a white background
cougar body | animal, mammal, cat | brown, yellow, furry, long | four legs, tail, ears | on rock, on grass, in snow
cougar face | animal, mammal, cat, head | brown, yellow, furry, round | eyes, ears, nose, whiskers | outdoors
crab | sea animal, animal | red, orange, brown, wide, flat | claws, shell, eight legs | on sand, on a white background
crayfish | sea animal, animal | red, brown, long | claws, shell, tail, feelers, eight legs | in water, on the ground
crocodile | reptile, animal | green, gray, long, scaly | teeth, tail, four legs, mouth | in water, on the ground
crocodile head | reptile, animal, head | green, gray, long, scaly | teeth, eyes, mouth | in water, on the ground
cup | container | white, blue, round, small | handle, rim | on a white background, on a table
dalmatian | animal, mammal, dog | white, black, spotted, furry | four legs, tail, ears | on grass, outdoors
dollar bill | money, paper | green, gray, flat, boxy | numbers, letters, head | on a white background
dolphin | sea animal, animal, mammal | gray, blue, long, shiny | fins, tail, nose | in water, in the sky
dragonfly | insect, animal | green, blue, long, thin | wings, tail, six legs, eyes | on a leaf, on a green background
electric guitar | instrument | red, black, shiny, wooden, long, curved | strings, neck, knobs | on a white background
elephant | animal, mammal | gray, large, fat | trunk, tusks, ears, four legs | on grass, outdoors
emu | bird, animal | brown, black, tall, feathered | neck, beak, two legs, eyes | on grass, outdoors
euphonium | instrument | yellow, shiny, metal, curved | bell, tubes, valves | on a white background
ewer | container | white, brown, yellow, round, tall, curved | handle, spout, neck | on a white background, on a black background
ferry | boat, vehicle | white, large, long, blue | windows, decks, flags | in water, in the sky
flamingo | bird, animal | pink, tall, thin, feathered, curved | neck, beak, two legs, wings | in water, on grass
flamingo head | bird, animal, head | pink, curved, feathered | neck, beak, eyes | in water, outdoors
garfield | cartoon, cat, drawing | orange, black, striped, fat | eyes, tail, ears, whiskers | on a white background
gerenuk | animal, mammal, antelope | brown, tall, thin | neck, ears, horns, four legs | on grass, in a forest, outdoors
gramophone | machine, device | brown, yellow, wooden, boxy, curved | horn, bell, disc, handle | on a white background, on a table
grand piano | instrument, furniture | black, brown, shiny, wooden, large | keys, lid, three legs, strings | in a room, on a white background
hawksbill | sea animal, animal, reptile | brown, green, spotted, scaly, flat | shell, fins, beak, head | in water, on a blue background
headphone | device | black, gray, round, curved, small | pads, band, wires | on a white background
hedgehog | animal, mammal | brown, gray, spiny, round, small | spines, nose, ears | on grass, on the ground
helicopter | vehicle, aircraft, machine | gray, green, white, metal | blades, tail, windows | in the sky, on the ground
ibis | bird, animal | white, black, thin, feathered | beak, two legs, neck, wings | on grass, in water
inline skate | shoe, vehicle | black, gray, boxy | wheels, laces, straps | on a white background
joshua tree | plant, tree | green, brown, spiny, tall | branches, leaves, trunk | in a desert, in the sky
kangaroo | animal, mammal | brown, gray, furry, tall | tail, two legs, ears | on grass, outdoors
ketch | boat, vehicle | white, blue, tall, long | sails, masts, ropes | in water, in the sky
lamp | light, furniture | white, yellow, tall, shiny | shade, rod, base | on a white background, on a table, in a room
laptop | device, machine | black, gray, boxy, flat | screen, keys, lid | on a white background, on a table
llama | animal, mammal | white, brown, furry, tall | neck, ears, four legs | on grass, outdoors
lobster | sea animal, animal | red, orange, brown, long | claws, shell, tail, feelers | on a white background, in water
lotus | flower, plant | pink, white, round, pointed | petals, leaves, stem | in water, on a green background
mandolin | instrument | brown, orange, wooden, round, shiny | strings, neck, hole | on a white background
mayfly | insect, animal | brown, green, thin, small, long | wings, tail, six legs | on a leaf, on a green background
menorah | light, candle holder | yellow, shiny, metal, curved, wide | candles, arms, base | on a white background, on a black background
metronome | device, instrument | brown, wooden, pointed, tall, boxy | rod, base, numbers | on a white background
minaret | building, tower | white, brown, tall, thin, stone, pointed | windows, roof, balcony | in the sky, outdoors
nautilus | sea animal, animal | white, orange, striped, round, curved | shell, eyes | in water, on a blue background, on a black background
octopus | sea animal, animal | red, brown, spotted, curved | arms, eyes, head | in water, on a blue background
okapi | animal, mammal, antelope | brown, black, striped, tall | four legs, ears, neck, tail | on grass, in a forest, outdoors
pagoda | building, tower, temple | red, brown, tall, pointed, wooden | roof, windows, balcony | in the sky, outdoors
panda | animal, mammal, bear | white, black, furry, round, fat | ears, eyes, four legs | on grass, in a forest
pigeon | bird, animal | gray, white, round, feathered | beak, wings, two legs, tail | on the ground, on a road
pizza | food | red, yellow, round, flat, brown | crust, slices, cheese | on a table, on a plate
platypus | animal, mammal | brown, furry, flat, long | beak, tail, four legs | in water, on the ground
pyramid | building | brown, yellow, pointed, stone, large | steps, walls | in a desert, in the sky
revolver | weapon | black, gray, metal, shiny, long | handle, tubes | on a white background
rhino | animal, mammal | gray, large, fat | horns, ears, four legs | on grass, on the ground, outdoors
rooster | bird, animal | red, brown, white, feathered | beak, tail, two legs, comb | on grass, on the ground
saxophone | instrument | yellow, shiny, metal, long, curved | bell, tubes, keys, valves | on a white background
schooner | boat, vehicle | white, brown, tall, long, wooden | sails, masts, ropes, flags | in water, in the sky
scissors | tool | gray, black, red, metal, shiny, thin, pointed | blades, handles, screw, hole | on a white background
scorpion | insect, animal | black, brown, yellow, long | claws, tail, eight legs | on sand, on a white background, on the ground
sea horse | sea animal, fish, animal | yellow, orange, brown, curved, thin, tall | tail, fins, head | in water, on a black background
snoopy | cartoon, dog, drawing | white, black, round | ears, nose, eyes | on a white background
soccer ball | ball, toy | white, black, round, shiny, spotted | patches | on a white background, on grass
stapler | device, tool | black, gray, red, boxy, long, shiny | handle, base | on a white background
starfish | sea animal, animal | orange, red, brown, flat, pointed | arms | in water, on sand, on a white background
stegosaurus | dinosaur, animal, reptile, drawing | green, brown, large, spiny | plates, tail, four legs | on a white background
stop sign | sign | red, white, flat, metal | letters, pole | in the sky, on a road, outdoors
strawberry | fruit, food | red, spotted, round, pointed, shiny | leaves, seeds, stem | on a white background
sunflower | flower, plant | yellow, round, brown, large | petals, leaves, seeds, stem | in the sky, on a green background
tick | insect, animal | brown, red, round, flat, small | eight legs, shell | on a white background
trilobite | fossil, animal | gray, brown, black, stone, flat, striped, round | shell, folds, head | on rock, on a white background
umbrella | cover | red, black, blue, round, pointed | handle, rod, ribs | on a white background, outdoors
watch | device | gray, black, yellow, metal, round, shiny | hands, numbers, straps, buttons | on a white background, on a black background
water lilly | flower, plant | pink, white, pointed, round | petals, leaves | in water
wheelchair | vehicle, furniture | black, gray, blue, metal | wheels, seat, back, handles | on a white background
wild cat | animal, mammal, cat | gray, brown, striped, furry, spotted | ears, eyes, four legs, whiskers | on grass, in a forest
windsor chair | furniture | brown, black, wooden | back, seat, four legs, rods | on a white background
wrench | tool | gray, metal, shiny, long | handle, jaws | on a white background
yin yang | symbol, drawing | black, white, round, flat, curved | spots | on a white background
automobile | vehicle, machine | red, white, black, shiny, metal | wheels, windows, doors, lamps | on a road, outdoors
bird | animal | brown, gray, small, feathered | beak, wings, tail, two legs | in the sky, on grass, outdoors
cat | animal, mammal | gray, brown, striped, furry | ears, eyes, four legs, whiskers | in a room
deer | animal, mammal, antelope | brown, thin, tall | horns, ears, four legs, neck | on grass, in a forest, outdoors
dog | animal, mammal | brown, white, black, furry | ears, nose, four legs, tail | in a room, on grass
frog | animal | green, brown, fat, shiny, small | eyes, four legs, mouth | on a leaf, on the ground
horse | animal, mammal | brown, white, tall, large | four legs, tail, neck, ears | on grass, outdoors
ship | boat, vehicle | gray, white, blue, large, long | decks, masts, windows | in water, in the sky
truck | vehicle, machine | red, white, large, boxy, metal | wheels, windows, doors | on a road, outdoors
"""

# By class: kinds, looks, parts and places.
FACTS: dict[str, tuple[tuple[str, ...], ...]] = {
    name: tuple(tuple(value.strip() for value in field.split(",")) for field in fields)
    for name, *fields in ([part.strip() for part in line.split("|")] for line in _TABLE.strip().splitlines())
}
WORDS = sorted({value for fields in FACTS.values() for field in fields for value in field})  # every fact there is
GRAMMAR = "thing with and . ,"  # the other words of fact_phrase


def facts_of(name: str) -> frozenset[str]:
    """All facts about a class."""
    return frozenset(value for field in FACTS[name] for value in field)


def fact_phrase(name: str, rng: random.Random) -> tuple[str, frozenset[str]]:
    """A noun phrase without an article that says some facts about a class but not its name, and the facts it says."""
    kinds, looks, parts, places = FACTS[name]
    kind = [rng.choice(kinds)] if rng.random() < 0.7 else []
    look = rng.sample(looks, min(len(looks), rng.choice((0, 1, 1, 2, 3))))
    part = rng.sample(parts, min(len(parts), rng.choice((0, 0, 1, 2))))
    place = [rng.choice(places)] if rng.random() < 0.35 else []
    if not (kind or look or part or place):
        look = [rng.choice(looks)]
    text = " ".join([*look, *(kind or ["thing"])])
    if part:
        text += " with " + " and ".join(part)
    return " ".join([text, *place]), frozenset((*kind, *look, *part, *place))
