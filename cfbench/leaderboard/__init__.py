"""Runs are ranked on leaderboards, which also say how uncertain each score is."""

from typing import Literal, TypeAlias, get_args

# These types are here because the command line needs them for `--help`, before it loads anything heavy.
Metric: TypeAlias = Literal["rmse", "mae", "user-rmse"]
"""What a leaderboard ranks by. `user-rmse` is the mean over users of each user's RMSE."""
Clusters: TypeAlias = Literal["user", "item", "both"]
"""What an interval takes as a sample of more of its kind: the users, the items, or both."""
SliceBy: TypeAlias = Literal["user-activity", "item-popularity", "rating"]
"""What divides the test ratings into slices: the number of training ratings of the user or of the item, or the rating
itself."""
SLICES: tuple[SliceBy, ...] = get_args(SliceBy)
