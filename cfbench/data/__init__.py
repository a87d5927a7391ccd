"""A file of a data set becomes ratings, cut into train, validation and test parts.

    card → fetch → reader → Ratings → split

A card describes a data set. `fetch` downloads its file. A reader turns the file into columns. `store` keeps the
prepared data set, and `split` assigns each rating to a part.
"""
