"""cfbench: which model predicts these ratings best, and at what cost?

The way of a rating: card → fetch → reader → Ratings → split → plugin.fit → plugin.predict → metrics → run record →
leaderboard. Each step is one module. Importing this package loads nothing heavy.
"""

__version__ = "0.1.0"
