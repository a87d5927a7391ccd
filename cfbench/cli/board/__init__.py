"""The command `cfbench board`: a full-screen leaderboard with the runs under way, made with Textual."""
