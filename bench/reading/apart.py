"""Labels for results of one cell that differ in more than the seed, so that each setting gets a row of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .accounts import CLEAN, Account, differing, settings
from .files import short

MOST = 3  # keys that a label names
NAMED = {"noise": "training labels", "backbone": "backbone weights"}


@dataclass(frozen=True)
class Entry:
    """A result that is compared with others.

    name: method, dataset and protocol in words. family: equal for results in one row of a table (base and new, a source
    and its targets). cell: equal for results that are averaged over seeds. told: remarks that are always shown. plain:
    the protocol has no label noise, so noise is always named. across: the family tests on several datasets, whose
    configs may differ.
    """

    name: str
    family: tuple[Hashable, ...]
    cell: tuple[Hashable, ...]
    account: Account
    told: tuple[str, ...] = ()
    plain: bool = True
    across: bool = False


def labels(entries: Sequence[Entry], sentences: list[str]) -> list[str]:
    """For each entry, how it differs from others of its family, such as "OPTIM.LR 0.002" or "sym_other 90 %", or "".

    A sentence for each family whose runs differ is appended to `sentences`.
    """
    always = [_always(entry) for entry in entries]
    families: dict[tuple, list[int]] = defaultdict(list)
    for i, entry in enumerate(entries):
        families[(*entry.family, *always[i])].append(i)
    found = [list(words) for words in always]
    for members in families.values():
        cells: dict[tuple, list[Account]] = defaultdict(list)
        for i in members:
            cells[entries[i].cell].append(entries[i].account)
        own = [entries[i].account for i in members]
        trained = [each for i, each in zip(members, own, strict=True) if each.learns or not entries[i].across]
        keys = list(dict.fromkeys([key for cell in cells.values() for key in _keys(cell)] + _training_keys(trained)))
        if keys:
            for i in members:
                found[i] += _words(entries[i].account, keys, cells[entries[i].cell])
            sentences.append(
                f"{entries[members[0]].name}: runs differ in more than the seed, {_difference(keys, own)}; they are "
                "kept apart."
            )
    return [", ".join(dict.fromkeys(words)) for words in found]


def mixed(accounts: Iterable[Account]) -> str:
    """A sentence if results that are averaged differ in more than the seed, else ""."""
    own = list(accounts)
    keys = _keys(own)
    always = {each.always for each in own}
    if not keys and len(always) > 1:
        return f"{', '.join(sorted({word for words in always for word in words}))}: {_folders(own)}"
    return _difference(keys, own) if keys else ""


def _always(entry: Entry) -> tuple[str, ...]:
    return (*filter(None, [_wrong(entry)]), *entry.told, *entry.account.always)


def _wrong(entry: Entry) -> str:
    return entry.account.labels if entry.plain and entry.account.labels not in ("", CLEAN) else ""


def _keys(accounts: Sequence[Account]) -> list[str]:
    """The settings in which the results of one cell differ."""
    if len({(each.mark, *sorted(each.data.items())) for each in accounts}) <= 1:
        return []
    return list(differing(_of_each_kind(accounts)))


def _training_keys(accounts: Sequence[Account]) -> list[str]:
    """The settings in which the trainings of a family differ."""
    known = [each for each in accounts if each.training]
    if len({each.training for each in known}) <= 1:
        return []
    return list(differing(_of_each_kind(known), training=True))


def _of_each_kind(accounts: Sequence[Account]) -> list[Account]:
    """One account for each distinct mark and data."""
    return list({(each.mark, *sorted(each.data.items())): each for each in accounts}.values())


def _words(each: Account, keys: Sequence[str], cell: Sequence[Account]) -> list[str]:
    """The parts of an account's label. cell: all accounts of its cell.

    Data have no short names, so they are numbered: the first is the usual one and not named, the next is 2.
    """
    own, named = settings(each), []
    for key in (key for key in keys if key in own):
        if key in each.data:
            met = list(dict.fromkeys(other.data[key] for other in cell if key in other.data))
            named += [f"{key} {met.index(own[key]) + 1}"] if own[key] != met[0] else []
        else:
            named.append(f"{NAMED.get(key, key)} {_shown(own[key])}")
    more = "" if len(named) <= MOST else f"and {len(named) - MOST} more, {each.training[:6] or each.mark[:6]}"
    return [*named[:MOST], *filter(None, [more])]


def _shown(value: object) -> str:
    return "none" if value in ("", None, []) else value if isinstance(value, str) else short(value)


def _difference(keys: Sequence[str], accounts: Sequence[Account]) -> str:
    """The keys with their values, and a folder for each value."""
    told = []
    for key in keys[:MOST]:
        folders: dict[str, Path] = {}
        for each in accounts:
            own: Mapping[str, object] = settings(each)
            if key in own:
                folders.setdefault(_shown(own[key]), Path(each.file).parent)
        told.append(f"{NAMED.get(key, key)} ({', '.join(f'{value} in {folder}' for value, folder in folders.items())})")
    more = f" and {len(keys) - MOST} more" if len(keys) > MOST else ""
    return "; ".join(told) + more


def _folders(accounts: Sequence[Account]) -> str:
    return ", ".join(str(Path(each.file).parent) for each in accounts)
