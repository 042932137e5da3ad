"""Join models that were trained window by window into one file, as one call of `spectra train` makes it.

In: model files of the same training set, and the target. Out: the joined model and its card beside it.
The recipe of the shipped model: `matterscope spectra train cu_k_feff --name cu-k-xanes --others SHELLS --anchor -5.0 --licence
BSD-3-Clause`, or once with `--windows wide` and once with `--windows narrow`, and this script.
"""

import sys
from pathlib import Path

from matterscope.core.files import write_json
from matterscope.learn.persist import load_model, save_model


def main(target: Path, sources: list[Path]) -> None:
    cards, arrays = [], {}
    for source in sources:
        card, found = load_model(source)
        cards.append(card)
        arrays |= found
    first = dict(cards[0])
    if len({c["training_data"]["sha256"] for c in cards}) != 1:
        raise SystemExit("these models were trained on different data")
    for key in ("grid", "scores", "windows"):
        first[key] = {name: value for card in cards for name, value in card[key].items()}
    first["recipe"]["windows"] = [w for card in cards for w in card["recipe"]["windows"]]
    family = first.pop("family")
    for key in ("schema", "arrays_sha256"):
        first.pop(key)
    digest = save_model(target, family, first, arrays)
    shown = {k: v for k, v in first.items() if k != "windows"} | {"file_sha256": digest}
    write_json(target.with_name(target.name.removesuffix(".model.npz") + ".card.json"), shown)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(p) for p in sys.argv[2:]])
