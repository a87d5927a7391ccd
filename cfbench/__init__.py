"""cfbench: which model predicts these ratings best, and at what cost?

A rating passes through the rooms in this order:

    card → fetch → reader → Ratings → split → plugin.fit → plugin.predict → metrics → run record → leaderboard
    └───────────── data ────────────┘ └─ learning and plugins ─┘└──────── runs ───────┘

The vocabulary of all rooms is in errors, files, memory, ratings, contract and metrics. Importing this package loads
nothing heavy.
"""

__version__ = "0.1.0"
