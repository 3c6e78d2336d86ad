"""The dead letters of an app, read and sent again.

A *letter* is a record that took no part in the segments: its bytes and headers as they were, and headers of ours behind
them that say where it came from and why it was refused (`worker/dead_letters.py`). The same topic holds the *marks* of
letters that were sent again, and the *gaps* that somebody accepted: notes without a value.
"""
