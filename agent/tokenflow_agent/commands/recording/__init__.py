"""Recordings: windows in files that spreadsheets and notebooks read, and that can be sent again.

A sheet is one file with one row per row of a table, preceded by the window that it belongs to. One sheet is a
recording of one table. A directory of them is a recording of all tables; its sheet ``batches`` has one row per
window, so that those in which nothing was seen are there too.
"""
