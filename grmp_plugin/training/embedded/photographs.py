"""The photographs of a folder, with their descriptions in its `manifest.csv`.

Columns: `image` (path relative to the folder), `caption` (several captions separated by " | "), `label` and
`set`; all but the first are optional. Without a manifest the images have no descriptions.
"""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from grmp_plugin.config import SCENES
from grmp_plugin.data.paths import expand_paths
from grmp_plugin.errors import InputError

MANIFEST = "manifest.csv"

# Words that imply a scene, in order of precedence: a person in a street is `human`.
# fmt: off
_WORDS = {
    "night": "night neon starry twilight nebula lunar moon planet",
    "human": "person people man men woman women boy girl child children couple family player players "
        "crowd portrait face selfie skier skiers diver driver athlete baby kid bride wedding "
        "surfer skateboarder presenter equestrians",
    "animal": "animal dog dogs cat cats puppies bird birds wren osprey otter fish jellyfish giraffes "
        "giraffe bear bears sheep cow cows horse horses elephant zebra leopards ant bass beaver "
        "butterfly cougar crab crayfish crocodile dalmatian dolphin dragonfly emu flamingo "
        "gerenuk hawksbill hedgehog ibis kangaroo llama lobster mayfly nautilus octopus okapi "
        "panda pigeon platypus rhino rooster scorpion starfish tick wild squirrel duck swan gull "
        "insect",
    "cityscape": "street city skyline building buildings house houses tower church bridge colosseum "
        "minaret pagoda facade traffic intersection skyscraper town courtyard architecture castle",
    "indoor": "indoor indoors room kitchen bedroom bathroom restaurant museum apartment office couch "
        "sofa stove ceiling chandelier shelf cafe bar hall",
    "plant": "plant flower flowers fern leaves leaf tree tulips daisy dandelion roses sunflowers "
        "sunflower lotus lilly bonsai joshua hibiscus daisies cactus tulip rose orchid dandelions "
        "grass moss",
    "landscape": "landscape mountain mountains lake sea beach hills canyon desert dune dunes valley river "
        "forest trees sunset sunrise clouds sky field meadow plain coast waterfall snow",
    "still_life": "clothing grocery table plate bowl bottle glass cup fruit food pizza cake strawberry "
        "teddy balloons spices watch umbrella camera laptop cellphone stapler scissors wrench "
        "binocular ewer lamp headphone revolver saxophone mandolin accordion euphonium gramophone "
        "metronome menorah pomegranate paint",
}
# fmt: on


@dataclass(frozen=True)
class Photograph:
    """One photograph.

    Attributes:
        path: The file.
        name: Path relative to the folder.
        captions: Descriptions of the content; may be empty.
        scene: Index in `SCENES` that the words imply; None without a description.
        set: Name of the source collection; empty if unknown.
    """

    path: str
    name: str
    captions: tuple[str, ...]
    scene: int | None
    set: str


def photographs(folder: Path) -> list[Photograph]:
    """The photographs of a folder, in the order of its manifest, or by name.

    Raises:
        InputError: when there are none, or the manifest has no column `image`.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of photographs")
    manifest = folder / MANIFEST
    if not manifest.is_file():
        paths = expand_paths([f"{folder}/"])
        return [Photograph(path, str(Path(path).relative_to(folder)), (), None, "") for path in paths]
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or "image" not in rows[0]:
        raise InputError(f"{manifest}: expected a header with the column 'image', and at least one row")
    return [_photograph(folder, row) for row in rows]


def scene_of(text: str) -> int | None:
    """Index in `SCENES` of the scene that a text describes: `others` for unknown words, None for no text."""
    words = set(re.findall(r"[a-z]+", text.lower().replace("_", " ")))
    if not words:
        return None
    found = (scene for scene, known in _WORDS.items() if words & set(known.split()))
    return SCENES.index(next(found, "others"))


def _photograph(folder: Path, row: dict[str, str]) -> Photograph:
    captions = tuple(c.strip().lower() for c in (row.get("caption") or "").split(" | ") if c.strip())
    told = " ".join([row.get("label") or "", *captions])
    return Photograph(
        str(folder / row["image"]), row["image"], captions, scene_of(told), row.get("set") or ""
    )
