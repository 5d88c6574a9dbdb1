"""What people read: boards as markdown, HTML, csv, json and LaTeX, figures, and a page for each run."""
