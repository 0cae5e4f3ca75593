"""Rooms: walls, floor and ceiling in perspective, a window, pictures, shelves and furniture."""

import numpy as np

from . import noise, outdoors, shapes, textures
from .canvas import Canvas
from .colour import anything, hsv, mix, near, rgb
from .noise import Rng


class Room:
    """A box seen from its open side; coordinates x, y in [-1, 1] (y down) and depth z in [0, 1]."""

    def __init__(self, canvas: Canvas, rng: Rng) -> None:
        self.canvas = canvas
        self.vanish = np.array(
            [canvas.width * rng.uniform(0.3, 0.7), canvas.height * rng.uniform(0.38, 0.55)]
        )
        self.half = np.array([canvas.width * rng.uniform(0.55, 0.8), canvas.height * rng.uniform(0.55, 0.75)])
        self.depth = rng.uniform(0.8, 2.2)

    def at(self, *points: tuple[float, float, float]) -> np.ndarray:
        """Project points (x, y, z) to canvas pixels, (N, 2)."""
        p = np.array(points, np.float64)
        return self.vanish + p[:, :2] * self.half / (1 + p[:, 2:] * self.depth)

    def box(
        self, x: tuple[float, float], y: tuple[float, float], z: tuple[float, float], paint: np.ndarray
    ) -> None:
        """Paint a cuboid: its visible side, its top and its front; paint is a colour or picture."""
        (x0, x1), (y0, y1), (z0, z1) = x, y, z
        sun = -float(self.canvas.light.direction[0])
        picture = paint if paint.ndim == 3 else None
        faces = [
            (self.at((x0, y0, z1), (x1, y0, z1), (x1, y0, z0), (x0, y0, z0)), 1.12),
            (self.at((x0, y0, z0), (x0, y0, z1), (x0, y1, z1), (x0, y1, z0)), 0.75 + 0.2 * sun),
            (self.at((x1, y0, z1), (x1, y0, z0), (x1, y1, z0), (x1, y1, z1)), 0.75 - 0.2 * sun),
        ]
        self.canvas.shadow(
            self.at((x0, y1, z0), (x1, y1, z0), (x1, y1, z1), (x0, y1, z1)), self.canvas.unit * 0.02, 0.6
        )
        centre = self.vanish[0]
        for k, (corners, bright) in enumerate(faces):
            hidden = (k == 1 and corners[0, 0] < centre) or (k == 2 and corners[1, 0] > centre)
            if hidden or (k == 0 and corners[0, 1] > corners[3, 1]):
                continue
            self._face(corners, paint, picture, bright)
        front = self.at((x0, y0, z0), (x1, y0, z0), (x1, y1, z0), (x0, y1, z0))
        self._face(front, paint, picture, 0.95)

    def _face(
        self, corners: np.ndarray, paint: np.ndarray, picture: np.ndarray | None, bright: float
    ) -> None:
        if picture is None:
            self.canvas.fill(corners, paint * np.float32(bright))
        else:
            self.canvas.warp_onto(corners, picture * np.float32(bright))


def draw_indoor(canvas: Canvas, rng: Rng) -> None:
    """Draw a furnished room over the whole canvas."""
    h, w, u = canvas.height, canvas.width, canvas.unit
    room = Room(canvas, rng)
    wall = near(rng, rng.choice([0.08, 0.1, 0.12, 0.3, 0.55, 0.95]), 0.18, rng.uniform(0.45, 0.9))
    paper = _wallpaper(canvas, rng, wall)
    floor_kind = rng.integers(0, 3)
    if floor_kind == 0:
        floor = textures.wood(rng, h, w, near(rng, 0.08, 0.45, 0.5), u * rng.uniform(0.08, 0.16))
    elif floor_kind == 1:
        floor = textures.masonry(
            rng,
            h,
            w,
            near(rng, 0.08, 0.15, 0.65),
            rgb(0.5, 0.48, 0.46),
            u * rng.uniform(0.12, 0.25),
            canvas.light,
            1.0,
        )
    else:
        floor = textures.fabric(
            rng, h, w, (near(rng, rng.uniform(), 0.3, 0.5), anything(rng, 0.4)), u * 0.007
        )
    sides = rng.uniform(0.7, 1.05, 3)
    canvas.image[:] = wall
    canvas.warp_onto(
        room.at((-1, -1, 0), (1, -1, 0), (1, -1, 1), (-1, -1, 1)),
        textures.plain(rng, h // 2, w // 2, rgb(0.9, 0.89, 0.87), 0.02),
    )
    canvas.warp_onto(room.at((-1, 1, 1), (1, 1, 1), (1, 1, -0.3), (-1, 1, -0.3)), floor)
    canvas.warp_onto(
        room.at((-1, -1, -0.2), (-1, -1, 1), (-1, 1, 1), (-1, 1, -0.2)), paper * np.float32(sides[0])
    )
    canvas.warp_onto(
        room.at((1, -1, 1), (1, -1, -0.2), (1, 1, -0.2), (1, 1, 1)), paper * np.float32(sides[1])
    )
    canvas.warp_onto(room.at((-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1)), paper * np.float32(sides[2]))
    _corners(canvas, room)
    trim = near(rng, 0.1, 0.1, 0.88)
    canvas.fill(room.at((-1, 0.93, 1), (1, 0.93, 1), (1, 1, 1), (-1, 1, 1)), trim * np.float32(0.9))
    for s in (-1, 1):
        canvas.fill(room.at((s, 0.93, 0), (s, 0.93, 1), (s, 1, 1), (s, 1, 0)), trim * np.float32(0.75))
    _walls(canvas, rng, room)
    if rng.uniform() < 0.6:
        x0, x1, z0, z1 = (
            rng.uniform(-0.8, -0.2),
            rng.uniform(0.1, 0.8),
            rng.uniform(0, 0.3),
            rng.uniform(0.5, 0.9),
        )
        rug = textures.fabric(
            rng,
            h // 2,
            w // 2,
            (anything(rng, 0.6), anything(rng, 0.5)),
            u * 0.006,
            str(rng.choice(["stripes", "checks", "print", "dots"])),
        )
        canvas.warp_onto(room.at((x0, 1, z1), (x1, 1, z1), (x1, 1, z0), (x0, 1, z0)), rug)
    _furnish(canvas, rng, room)
    fall = noise.smooth(rng, h, w, 1.2) * np.float32(rng.uniform(0.05, 0.22))
    canvas.image *= np.maximum(1 + fall, 0.3)[:, :, None]


def _wallpaper(canvas: Canvas, rng: Rng, wall: np.ndarray) -> np.ndarray:
    h, w, u = canvas.height, canvas.width, canvas.unit
    kind = rng.integers(0, 5)
    if kind == 0:
        return textures.masonry(
            rng, h, w, wall, wall * np.float32(0.85), u * rng.uniform(0.04, 0.09), canvas.light
        )
    if kind == 1:
        return textures.fabric(
            rng,
            h,
            w,
            (wall, mix(wall, anything(rng, 0.4), 0.4)),
            u * rng.uniform(0.006, 0.012),
            str(rng.choice(["stripes", "print", "dots"])),
        )
    return textures.plain(rng, h, w, wall, rng.uniform(0.01, 0.04))


def _corners(canvas: Canvas, room: Room) -> None:
    """Darken the edges where walls meet, which get less light."""
    for a, b in (((-1, -1), (-1, 1)), ((1, -1), (1, 1)), ((-1, -1), (1, -1)), ((-1, 1), (1, 1))):
        edge = room.at((*a, 1.0), (*b, 1.0))
        canvas.shadow(shapes.tube(edge, np.full(2, canvas.unit * 0.03)), canvas.unit * 0.03, 0.3)


def _view(canvas: Canvas, rng: Rng, size: int) -> np.ndarray:
    """A small picture: what a window shows or what hangs on the wall, (size, size, 3)."""
    small = Canvas(np.full((size, size, 3), 0.5, np.float32), canvas.light)
    kind = rng.integers(0, 3)
    if kind == 0:
        haze = outdoors.sky(small, rng, size * 0.7)
        outdoors.hills(small, rng, size * 0.75, size * 0.3, near(rng, 0.3, 0.4, 0.4), haze, 0.3)
        small.image[int(size * 0.75) :] = near(rng, 0.25, 0.5, 0.45)
    elif kind == 1:
        palette = np.stack([anything(rng, 0.6) for _ in range(5)])
        small.image = textures.dead_leaves(rng, size, size, palette, size * 0.05, "mixed")
    else:
        small.image = textures.leaves(
            rng, size, size, outdoors.foliage_colours(rng), size * 0.15, canvas.light
        )
    return small.image


def _walls(canvas: Canvas, rng: Rng, room: Room) -> None:
    u = canvas.unit
    if rng.uniform() < 0.65:
        x0, x1, y0, y1 = (
            rng.uniform(-0.8, -0.1),
            rng.uniform(0.1, 0.8),
            rng.uniform(-0.75, -0.5),
            rng.uniform(0, 0.35),
        )
        view = np.minimum(_view(canvas, rng, int(u * 0.35)) * np.float32(1.3) + np.float32(0.15), 1.25)
        frame = near(rng, 0.1, 0.1, 0.9)
        canvas.fill(
            room.at(
                (x0 - 0.05, y0 - 0.05, 1),
                (x1 + 0.05, y0 - 0.05, 1),
                (x1 + 0.05, y1 + 0.05, 1),
                (x0 - 0.05, y1 + 0.05, 1),
            ),
            frame,
        )
        canvas.warp_onto(room.at((x0, y0, 1), (x1, y0, 1), (x1, y1, 1), (x0, y1, 1)), view)
        for k in range(1, int(rng.integers(2, 4))):
            x = x0 + (x1 - x0) * k / 2
            canvas.fill(
                room.at((x - 0.02, y0, 1), (x + 0.02, y0, 1), (x + 0.02, y1, 1), (x - 0.02, y1, 1)),
                frame * np.float32(0.92),
            )
        if rng.uniform() < 0.6:
            beam = room.at((x0, 1, 0.8), (x1, 1, 0.8), (x1 + 0.2, 1, 0.2), (x0 + 0.2, 1, 0.2))
            canvas.fill(
                beam, canvas.image * np.float32(1.5) + rgb(0.06, 0.04, 0.0), soft=u * 0.004, alpha=0.7
            )
        if rng.uniform() < 0.6:
            cloth = textures.fabric(
                rng, int(u * 0.5), int(u * 0.2), (anything(rng, 0.4), anything(rng, 0.4)), u * 0.006
            )
            fold = 1 + 0.3 * np.sin(np.linspace(0, rng.uniform(25, 45), cloth.shape[1], dtype=np.float32))
            for s, x in ((-1, x0), (1, x1)):
                drop = room.at(
                    (x + s * 0.2 - 0.1, y0 - 0.1, 0.98),
                    (x + s * 0.2 + 0.12, y0 - 0.1, 0.98),
                    (x + s * 0.2 + 0.12, 0.9, 0.98),
                    (x + s * 0.2 - 0.1, 0.9, 0.98),
                )
                canvas.shadow(drop, u * 0.01, 0.3)
                canvas.warp_onto(drop, cloth * fold[None, :, None])
    for s in (-1, 1):
        for _ in range(int(rng.integers(0, 3))):
            z0, y0 = rng.uniform(0, 0.6), rng.uniform(-0.7, -0.1)
            z1, y1 = z0 + rng.uniform(0.15, 0.35), y0 + rng.uniform(0.25, 0.5)
            outer = room.at(
                (s, y0 - 0.04, z0 - 0.02),
                (s, y0 - 0.04, z1 + 0.02),
                (s, y1 + 0.04, z1 + 0.02),
                (s, y1 + 0.04, z0 - 0.02),
            )
            canvas.shadow(outer, u * 0.008, 0.5, (0, u * 0.006))
            canvas.fill(outer, near(rng, 0.08, 0.4, rng.choice([0.15, 0.4, 0.85])))
            canvas.warp_onto(
                room.at((s, y0, z0), (s, y0, z1), (s, y1, z1), (s, y1, z0)), _view(canvas, rng, int(u * 0.22))
            )


def _furnish(canvas: Canvas, rng: Rng, room: Room) -> None:
    u = canvas.unit
    grain = textures.wood(
        rng, int(u * 0.4), int(u * 0.5), near(rng, 0.07, 0.45, rng.uniform(0.3, 0.7)), u * 0.2
    )
    cloth = textures.fabric(
        rng,
        int(u * 0.5),
        int(u * 0.7),
        (anything(rng, 0.5), anything(rng, 0.4)),
        u * 0.006,
        str(rng.choice(["plain", "checks", "knit"])),
    )
    places = [-0.95, -0.3, 0.35]
    for k in rng.permutation(3)[: int(rng.integers(2, 4))]:
        x0 = places[k] + rng.uniform(0, 0.1)
        x1 = x0 + rng.uniform(0.35, 0.55)
        kind = str(rng.choice(["shelf", "sofa", "chest", "table"]))
        if kind == "shelf":
            _shelf(canvas, rng, room, (x0, x1), grain)
        elif kind == "sofa":
            z = rng.uniform(0.3, 0.6)
            room.box((x0, x1), (0.35, 0.9), (z + 0.25, z + 0.3), cloth)
            room.box((x0, x1), (0.65, 0.97), (z, z + 0.25), cloth)
            for x in (x0, x1 - 0.08):
                room.box((x, x + 0.08), (0.5, 0.97), (z, z + 0.28), cloth * np.float32(0.9))
            for _ in range(int(rng.integers(0, 3))):
                centre = room.at((rng.uniform(x0 + 0.1, x1 - 0.1), 0.55, z + 0.15))[0]
                pillow = shapes.blob(rng, centre[0], centre[1], u * 0.06, u * 0.05, 0.15)
                canvas.fill(pillow, anything(rng, 0.6), bulge=0.8)
        elif kind == "chest":
            z = rng.uniform(0.4, 0.7)
            room.box((x0, x1), (0.3, 1.0), (z, z + 0.25), grain)
            for row in (0.35, 0.58, 0.8):
                canvas.fill(
                    room.at(
                        (x0 + 0.02, row, z),
                        (x1 - 0.02, row, z),
                        (x1 - 0.02, row + 0.012, z),
                        (x0 + 0.02, row + 0.012, z),
                    ),
                    rgb(0.1, 0.07, 0.05),
                )
                knob = room.at(((x0 + x1) / 2, row + 0.1, z))[0]
                canvas.ball(
                    (float(knob[0]), float(knob[1])), (u * 0.008, u * 0.008), rgb(0.8, 0.7, 0.4), gloss=0.6
                )
            _ornament(canvas, rng, room.at(((x0 + x1) / 2, 0.3, z + 0.1))[0])
        else:
            z = rng.uniform(0.1, 0.5)
            for lx in (x0 + 0.03, x1 - 0.06):
                for lz in (z + 0.28, z + 0.02):
                    room.box((lx, lx + 0.03), (0.5, 1.0), (lz, lz + 0.02), near(rng, 0.07, 0.4, 0.3))
            room.box((x0, x1), (0.46, 0.52), (z, z + 0.3), grain)
            _ornament(canvas, rng, room.at(((x0 + x1) / 2, 0.46, z + 0.12))[0])


def _shelf(canvas: Canvas, rng: Rng, room: Room, x: tuple[float, float], grain: np.ndarray) -> None:
    z = rng.uniform(0.7, 0.85)
    room.box(x, (-0.6, 1.0), (z, z + 0.14), grain)
    rows = int(rng.integers(3, 6))
    for row in range(rows):
        y0, y1 = -0.56 + 1.5 * row / rows, -0.6 + 1.5 * (row + 0.92) / rows
        canvas.fill(
            room.at((x[0] + 0.03, y0, z), (x[1] - 0.03, y0, z), (x[1] - 0.03, y1, z), (x[0] + 0.03, y1, z)),
            grain.mean((0, 1)) * np.float32(0.3),
        )
        left = x[0] + 0.035
        while left < x[1] - 0.06:
            right = left + rng.uniform(0.012, 0.04)
            top = y1 - (y1 - y0) * rng.uniform(0.55, 0.92)
            book = room.at((left, top, z), (right, top, z), (right, y1, z), (left, y1, z))
            canvas.fill(book, anything(rng, 0.5), bulge=0.6)
            stripe = top + (y1 - top) * rng.uniform(0.1, 0.7)
            canvas.fill(
                room.at(
                    (left, stripe, z), (right, stripe, z), (right, stripe + 0.03, z), (left, stripe + 0.03, z)
                ),
                near(rng, 0.12, 0.3, 0.8),
            )
            left = right + rng.uniform(0, 0.004) + (0.05 if rng.uniform() < 0.07 else 0)


def _ornament(canvas: Canvas, rng: Rng, foot: np.ndarray) -> None:
    """A lamp, a vase or a plant that stands at `foot`, (2,) canvas pixels."""
    u = canvas.unit
    x, y = float(foot[0]), float(foot[1])
    kind = rng.integers(0, 3)
    if kind == 0:
        canvas.fill(
            shapes.rectangle(x - u * 0.006, y - u * 0.12, x + u * 0.006, y), rgb(0.5, 0.42, 0.3), bulge=1.0
        )
        canvas.ball((x, y - u * 0.03), (u * 0.03, u * 0.035), anything(rng, 0.5), gloss=0.5)
        shade = np.array([[-0.035, -0.2], [0.035, -0.2], [0.065, -0.1], [-0.065, -0.1]]) * u + [x, y]
        lit = rng.uniform() < 0.6
        if lit:
            canvas.glow(x, y - u * 0.15, u * 0.4, rgb(1.0, 0.8, 0.5), 0.7)
        canvas.fill(shade, hsv(0.11, 0.3, 1.0) if lit else near(rng, 0.1, 0.25, 0.75), bulge=0.2)
    else:
        canvas.ball((x, y - u * 0.04), (u * 0.035, u * 0.045), anything(rng, 0.5), gloss=0.5)
        greens = outdoors.foliage_colours(rng)
        for _ in range(int(rng.integers(5, 22))):
            tip = np.array([x + rng.normal(0, 0.06) * u, y - u * rng.uniform(0.1, 0.24)])
            outline, _ = shapes.leaf(np.array([x, y - u * 0.07]), tip, 0.25, rng.normal(0, 0.15))
            canvas.fill(
                outline,
                mix(greens[1], greens[2], rng.uniform()) * np.float32(rng.uniform(0.5, 1.1)),
                bulge=0.6,
            )
