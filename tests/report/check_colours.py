"""Colours of series must be told apart on light and dark paper, by any eyes.

check_colours.py STYLE_SOURCE: reads --s0 … --s7 and --paper of both schemes from the style sheet.
Any two colours must be 12 apart (CIE 1976 delta E) for normal sight and as seen with complete
protanopia, deuteranopia and tritanopia (Machado, Oliveira & Fernandes 2009, table 1, severity 1),
and every colour must have a contrast of 2.5 to the paper (WCAG 2 relative luminance).
"""
import itertools
import pathlib
import re
import sys

APART, CONTRAST = 12.0, 2.5
SIGHT = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216),
                   (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413),
                     (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602),
                   (0.004733, 0.691367, 0.303900)),
}
XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750),
       (0.0193339, 0.1191920, 0.9503041))
WHITE = (0.95047, 1.0, 1.08883)


def times(matrix, vector):
    return tuple(sum(a * b for a, b in zip(row, vector)) for row in matrix)


def linear(colour):
    values = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    return tuple(v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values)


def lab(rgb):
    xyz = times(XYZ, [min(1.0, max(0.0, v)) for v in rgb])
    f = [t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116
         for t in (v / w for v, w in zip(xyz, WHITE))]
    return 116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])


def contrast(a, b):
    dark, light = sorted(times(XYZ, linear(c))[1] for c in (a, b))
    return (light + 0.05) / (dark + 0.05)


def main():
    style = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
    schemes = re.findall(r":root\{(.*?)\}", style, re.S)
    problems = [] if len(schemes) == 2 else [f"{len(schemes)} colour schemes instead of 2"]
    for name, scheme in zip(("light", "dark"), schemes):
        colours = re.findall(r"--s\d:(#[0-9a-f]{6})", scheme)
        paper = re.search(r"--paper:(#[0-9a-f]{6})", scheme).group(1)
        if len(colours) != 8:
            problems.append(f"{name}: {len(colours)} colours instead of 8")
        problems += [f"{name}: contrast of {c} is {contrast(c, paper):.2f}" for c in colours
                     if contrast(c, paper) < CONTRAST]
        for sight, matrix in SIGHT.items():
            seen = [lab(times(matrix, linear(c))) for c in colours]
            for i, j in itertools.combinations(range(len(seen)), 2):
                distance = sum((a - b) ** 2 for a, b in zip(seen[i], seen[j])) ** 0.5
                if distance < APART:
                    problems.append(f"{name}, {sight}: {colours[i]} and {colours[j]} are "
                                    f"{distance:.1f} apart")
    print("\n".join(problems) or "all colours can be told apart")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
