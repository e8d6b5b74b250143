"""A reader of token streams that sits behind a link, and measures what a person would see."""
