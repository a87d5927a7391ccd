"""What people look at: figures and pages, and the words and formats that these share with the terminal."""
