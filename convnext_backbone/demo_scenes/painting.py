"""Colours, textures, backgrounds and light of the demo scenes.

Pictures in the making are float32 (H, W, 3), BGR, nominally in [0, 1].
"""

import colorsys
import math

import cv2
import numpy as np

# --- colours ---------------------------------------------------------------


def random_colour(
    rng: np.random.Generator,
    saturation: tuple[float, float],
    value: tuple[float, float],
    hue: float | None = None,
) -> np.ndarray:
    """Draw a BGR colour (3,) with bounded saturation and value, near a hue or any."""
    hue = rng.random() if hue is None else (hue + rng.normal(0, 0.025)) % 1
    hsv = hue, rng.uniform(*saturation), rng.uniform(*value)
    return np.array(colorsys.hsv_to_rgb(*hsv)[::-1], np.float32)


def random_colour_pair(
    rng: np.random.Generator, surroundings: np.ndarray, hue: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the two colours of an object so that it stands out.

    Args:
        rng: Source of the random numbers.
        surroundings: Mean BGR colour (3,) of what the object will cover.
        hue: Of the first colour, in [0, 1); None for any.

    Returns:
        Two BGR colours (3,), neither close to the surroundings: the last of 20
        draws should none of them do.
    """
    for _ in range(20):
        first = random_colour(rng, (0.3, 0.95), (0.4, 1.0), hue)
        second = random_colour(rng, (0.0, 0.8), (0.2, 1.0))
        # Related colours look better than a random pair and stay two colours.
        second = first + rng.uniform(0.35, 0.8) * (second - first)
        if min(np.abs(c - surroundings).sum() for c in (first, second)) > 0.45:
            break
    return first, second


# --- textures --------------------------------------------------------------
# Each maps object coordinates u, v (h, w), in radii from the centre, to a blend
# (h, w) in [0, 1] between the object's two colours. `rate` is how many periods
# fit into one radius.


def _gradient(
    rng: np.random.Generator, u: np.ndarray, v: np.ndarray, rate: float
) -> np.ndarray:
    return np.clip(0.5 + 0.6 * u, 0, 1)


def _stripes(
    rng: np.random.Generator, u: np.ndarray, v: np.ndarray, rate: float
) -> np.ndarray:
    return _steep(np.sin(2 * math.pi * rate * u + rng.uniform(0, 2 * math.pi)))


def _checks(
    rng: np.random.Generator, u: np.ndarray, v: np.ndarray, rate: float
) -> np.ndarray:
    period = math.pi * rate
    return _steep(2 * np.sin(period * u) * np.sin(period * v))


def _dots(
    rng: np.random.Generator, u: np.ndarray, v: np.ndarray, rate: float
) -> np.ndarray:
    period = 2 * math.pi * rate
    return _steep(np.cos(period * u) + np.cos(period * v) - 0.5)


def _rings(
    rng: np.random.Generator, u: np.ndarray, v: np.ndarray, rate: float
) -> np.ndarray:
    x, y = rng.uniform(-0.8, 0.8, size=2)
    return _steep(np.sin(2 * math.pi * rate * np.hypot(u - x, v - y)))


def _marble(
    rng: np.random.Generator, u: np.ndarray, v: np.ndarray, rate: float
) -> np.ndarray:
    height, width = u.shape
    return np.clip(0.5 + 0.9 * _smooth_noise(rng, (height, width), cells=6), 0, 1)


def _steep(wave: np.ndarray) -> np.ndarray:
    """Turn a wave around 0 into two levels with a soft edge."""
    return np.clip(0.5 + 1.5 * wave, 0, 1)


# In the order of the classes: the usual texture of each.
TEXTURES = (_rings, _stripes, _checks, _gradient, _marble, _dots)


def random_texture(
    rng: np.random.Generator,
    u: np.ndarray,
    v: np.ndarray,
    radius: float,
    index: int | None = None,
) -> np.ndarray:
    """Draw one of `TEXTURES` with random parameters.

    Args:
        rng: Source of the random numbers.
        u: First object coordinate of every pixel, radii, (h, w).
        v: Second object coordinate, (h, w).
        radius: Radius of the object in pixels, which bounds the detail.
        index: Which texture; None for any.

    Returns:
        Blend between the object's two colours, (h, w) in [0, 1].
    """
    texture = TEXTURES[rng.integers(len(TEXTURES)) if index is None else index]
    finest = max(radius / 5, 1.0)  # at least 5 pixels a period
    return texture(rng, u, v, rng.uniform(1.0, min(finest, 3.5)))


def _smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], cells: int
) -> np.ndarray:
    """Draw random values in about [-0.5, 0.5], smooth over 1 / cells of the picture."""
    coarse = rng.random((cells, cells), dtype=np.float32) - 0.5
    return cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)


# --- background ------------------------------------------------------------


def background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Paint what lies behind the objects and is none of them.

    A gradient between muted colours, unevenness, and clutter: thin lines,
    specks and scribbles, all far thinner or smaller than any object.

    Args:
        rng: Source of the random numbers.
        size: Height and width, pixels.

    Returns:
        The picture, (size, size, 3).
    """
    # Neighbouring hues in related tones: corners of any colour mix to mud.
    hue, saturation, value = rng.uniform([0, 0.05, 0.35], [1, 0.5, 0.95])
    spread = rng.uniform([-0.1, 0.6, 0.75], [0.1, 1.4, 1.2], size=(4, 3))
    corners = [
        colorsys.hsv_to_rgb((hue + h) % 1, saturation * s, min(value * v, 1))[::-1]
        for h, s, v in spread
    ]
    canvas: np.ndarray = cv2.resize(
        np.array(corners, np.float32).reshape(2, 2, 3),
        (size, size),
        interpolation=cv2.INTER_LINEAR,
    )
    canvas += 0.1 * _smooth_noise(rng, (size, size), cells=7)[..., None]
    canvas += 0.06 * _smooth_noise(rng, (size, size), cells=size // 6)[..., None]

    drawing = np.round(np.clip(canvas, 0, 1) * 255).astype(np.uint8)
    for paint, most in ((_line, 7), (_scribble, 4), (_speck, 30)):
        for _ in range(rng.integers(most + 1)):
            colour = 255 * random_colour(rng, (0.0, 0.9), (0.1, 1.0))
            paint(rng, drawing, tuple(float(c) for c in colour))
    return drawing.astype(np.float32) / 255


def _line(rng: np.random.Generator, drawing: np.ndarray, colour: tuple) -> None:
    start, end = rng.integers(0, len(drawing), size=(2, 2)).tolist()
    cv2.line(drawing, start, end, colour, thickness=1, lineType=cv2.LINE_AA)


def _scribble(rng: np.random.Generator, drawing: np.ndarray, colour: tuple) -> None:
    """Draw something like a line of handwriting."""
    size = len(drawing)
    letters = int(rng.integers(12, 40))
    steps = rng.uniform([0.004, -0.022], [0.016, 0.022], size=(letters, 2)) * size
    x = np.cumsum(steps[:, 0])
    path = np.stack([x, steps[:, 1]], axis=1) + rng.uniform(0, 0.9 * size, size=2)
    cv2.polylines(
        drawing,
        [np.round(path * 16).astype(np.int32)],
        isClosed=False,
        color=colour,
        thickness=1,
        lineType=cv2.LINE_AA,
        shift=4,
    )


def _speck(rng: np.random.Generator, drawing: np.ndarray, colour: tuple) -> None:
    size = len(drawing)
    centre = rng.integers(0, size, size=2).tolist()
    axes = [max(1, round(a * size)) for a in rng.uniform(0.003, 0.013, size=2)]
    angle = float(rng.uniform(0, 180))
    cv2.ellipse(drawing, centre, axes, angle, 0, 360, colour, -1, cv2.LINE_AA)


# --- light -----------------------------------------------------------------


def soften(coverage: np.ndarray, sigma: float) -> np.ndarray:
    """Blur a coverage (h, w) with a Gaussian of sigma pixels."""
    return cv2.GaussianBlur(coverage, (0, 0), sigmaX=sigma)


def relief(coverage: np.ndarray, light: tuple[float, float]) -> np.ndarray:
    """Return the brightness of the bevelled edge of a flat object.

    Args:
        coverage: Share of every pixel that the object covers, (h, w).
        light: Unit vector (x, y) that points to the light.

    Returns:
        A term (h, w) to add to the object's shading: positive where the edge
        faces the light, negative where it faces away, 0 inside.
    """
    soft = soften(coverage, sigma=1.5)
    slope_x = cv2.Sobel(soft, cv2.CV_32F, 1, 0, ksize=3)
    slope_y = cv2.Sobel(soft, cv2.CV_32F, 0, 1, ksize=3)
    return -0.22 * (slope_x * light[0] + slope_y * light[1])


def relight(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """Expose a scene: vignette, contrast, brightness, colour cast and noise.

    Args:
        rng: Source of the random numbers.
        canvas: The scene, (H, W, 3).

    Returns:
        The photograph, uint8 (H, W, 3).
    """
    height, width = canvas.shape[:2]
    x = np.linspace(-1, 1, width, dtype=np.float32) - rng.uniform(-0.4, 0.4)
    y = np.linspace(-1, 1, height, dtype=np.float32) - rng.uniform(-0.4, 0.4)
    vignette = 1 - rng.uniform(0.0, 0.22) * (x**2 + y[:, None] ** 2)

    contrast = rng.uniform(0.75, 1.15)
    brightness = rng.uniform(-0.1, 0.1)
    cast = rng.uniform(0.92, 1.08, size=3).astype(np.float32)
    photo = (canvas - 0.5) * contrast + 0.5 + brightness
    photo = photo * np.clip(vignette, 0.4, 1)[..., None] * cast
    grain = rng.standard_normal(canvas.shape, dtype=np.float32)
    photo += rng.uniform(0.004, 0.02) * grain
    return np.round(np.clip(photo, 0, 1) * 255).astype(np.uint8)
