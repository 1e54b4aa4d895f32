"""Writes Omniglot's 50 alphabets as tables, each a task of five characters: `python3 scripts/alphabets.py OMNIGLOT OUT`.

OMNIGLOT has the background and evaluation sets as IDX files of 28 x 28 pixels in the order of characters, 20 drawings each (Lake et al. 2015); alphabets lie one behind another, by their names. A table has
the first five characters of an alphabet (`label` 0 to 4), and of each drawing the means of 2 x 2 pixels as columns, 0 to 1.
"""

import gzip
import pathlib
import sys

# Characters of each alphabet, by name, of the background set and of the evaluation set.
SIZES = {
    "background": [20, 29, 26, 41, 40, 24, 46, 14, 26, 34, 33, 22, 26, 43, 24, 48, 22, 16, 52, 47, 40, 26, 40, 41, 33, 14, 42, 23, 17, 55],
    "evaluation": [20, 26, 26, 26, 26, 26, 45, 45, 41, 26, 47, 40, 30, 45, 46, 28, 23, 25, 42, 26],
}
DRAWINGS, WAYS, SIDE, HALF = 20, 5, 28, 14


def main(omniglot, out):
    out.mkdir(parents=True, exist_ok=True)
    header = ",".join(["label"] + [f"p{i}" for i in range(HALF * HALF)])
    number = 0
    for part, sizes in SIZES.items():
        pixels = gzip.decompress((omniglot / f"{part}-images-idx3-ubyte.gz").read_bytes())[16:]
        characters = len(pixels) // (SIDE * SIDE * DRAWINGS)
        if characters != sum(sizes):
            sys.exit(f"{part} has {characters} characters, and {sum(sizes)} are known")
        first = 0
        for size in sizes:
            rows = [header]
            for character in range(WAYS):
                for drawing in range(DRAWINGS):
                    at = ((first + character) * DRAWINGS + drawing) * SIDE * SIDE

                    def mean(i):
                        corner = at + (i // HALF) * 2 * SIDE + (i % HALF) * 2
                        return sum(pixels[corner + d] for d in (0, 1, SIDE, SIDE + 1)) / 1020

                    rows.append(",".join([str(character)] + [f"{mean(i):.3f}" for i in range(HALF * HALF)]))
            (out / f"{number:02}.csv").write_text("\n".join(rows) + "\n")
            number += 1
            first += size


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
