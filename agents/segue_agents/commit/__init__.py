"""What goes out, and how it becomes final: changes, states, dead letters and offsets, together.

    committer      the two ways, as the worker's loop knows them
    transactions   exactly once; why a producer is replaced that has committed
    at_least_once  without transactions
    producing      what both share: a producer that is made anew, calls that are repeated
    reactions      what each class of error does to a transaction: a table
"""
