"""LEADERBOARD: runs are ranked, and doubted."""
