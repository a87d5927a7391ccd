"""Ratings of your own in a frame: import, split, run, compare, predict. Here they are made up, with a known truth."""

import numpy as np
import polars as pl

import cfbench

rng = np.random.default_rng(0)
readers, books = 120, 60
taste, style = rng.normal(size=(readers, 2)), rng.normal(size=(books, 2))
quality = rng.normal(scale=0.5, size=books)
reader, book = np.divmod(rng.choice(readers * books, 2500, replace=False), books)
stars = 3 + quality[book] + 0.6 * (taste[reader] * style[book]).sum(axis=1) + rng.normal(scale=0.3, size=len(book))
frame = pl.DataFrame({"reader": reader, "book": book, "stars": stars.round().clip(1, 5)})

data = cfbench.from_frame(frame, name="my-books", user="reader", item="book", rating="stars", scale=(1, 5, 1))
split = data.split("random90")
print(data, split)

for name in ("mean", "bias", "als"):
    run = cfbench.run(name, data, split=split.name, skip_finished=True)
    print(run, *run.notes, sep="\n  ")
print(cfbench.compare(data).select("place", "plugin", "rmse", "interval_low", "interval_high"))

best = cfbench.Run.open(cfbench.compare(data)["runs"][0][0])
print(best.model.predict(pl.DataFrame({"reader": [1, 2], "book": [3, 4]}), user="reader", item="book"))
