"""Write ``losses.json`` anew and print what moved: ``python -m tests.golden``."""

import json

from tests.golden import FILE, KINDS, changes, kept, measured, updated


def main() -> None:
    old, new = kept() if FILE.exists() else {}, measured()
    moved = 0
    for kind in KINDS:
        before, after = old.get(kind, {}), new[kind]
        for name in sorted(before | after):
            for line in changes(before.get(name, {}), after.get(name, {})):
                print(f"{kind}, {name}, {line}")
                moved += 1
        new[kind] = {name: updated(before.get(name, {}), values) for name, values in after.items()}
    FILE.write_text(json.dumps(new, indent=1) + "\n", encoding="utf-8")
    print(f"{moved} values moved, {sum(len(values) for kind in KINDS for values in new[kind].values())} are kept")


if __name__ == "__main__":
    main()
