"""DATA: a file somewhere becomes ratings, cut into parts.

    card → fetch → reader → Ratings → split

A card describes a data set, `fetch` brings its file, a reader turns the file into columns, `store` keeps the prepared
data set, and `split` says which ratings train, validate and test.
"""
