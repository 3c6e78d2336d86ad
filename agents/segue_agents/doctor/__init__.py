"""`segue doctor`: looks at everything an app stands on, and says what is wrong and what to do. It changes nothing.

examination   gathers the facts, each look apart, within one deadline
looks/        where they come from: Kafka, this machine, the contracts
facts         plain values, or Unknown with the reason
checks/       the table of checks: facts in, findings out; pure
findings      level, where, what, fix, exit code
report        for people, as JSON, and as the docs' table
"""
