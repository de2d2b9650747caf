#!/usr/bin/env python3
"""Write shared-proto/vectors/*.json, or with --check only say whether the files there are what this would write.

Every input is fixed, so the output is always the same. Vectors are kept for ever: add new ones, never change one.
"""

import argparse
import json
import pathlib
import sys

import vectors_documents
import vectors_envelope
import vectors_feed
import vectors_fingerprint
import vectors_orders
import vectors_rotation
import vectors_tokens

ROOT = pathlib.Path(__file__).resolve().parents[2]
VECTORS = ROOT / "shared-proto" / "vectors"
DISCLAIMER = "Published test vectors; these keys protect nothing."


def render(description, content):
    document = {"description": f"{description} {DISCLAIMER}", **content}
    for group in ("positive", "negative"):
        names = [entry["name"] for entry in document[group]]
        assert len(set(names)) == len(names), [name for name in names if names.count(name) > 1]
    assert all(entry["reason"] for entry in document["negative"])
    return json.dumps(document, indent=1, ensure_ascii=True) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file differs")
    check = parser.parse_args().check
    different = 0
    modules = (
        *(vectors_envelope, vectors_documents, vectors_tokens, vectors_orders, vectors_rotation, vectors_feed),
        vectors_fingerprint,
    )
    for module in modules:
        for name, (description, content) in module.files().items():
            path, text = VECTORS / f"{name}.json", render(description, content)
            if check:
                same = path.is_file() and path.read_text() == text
                different += not same
                print(f"{'same' if same else 'DIFFERENT'}: {path.relative_to(ROOT)}")
            else:
                path.write_text(text)
                counts = len(content["positive"]), len(content["negative"])
                print(f"{path.relative_to(ROOT)}: {counts[0]} positive, {counts[1]} negative")
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
