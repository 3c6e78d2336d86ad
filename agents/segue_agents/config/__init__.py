"""How settings come to a worker: rows of a table, files, the environment, flags, and librdkafka's own properties.

Which settings there are stands in `segue_agents.settings`.
"""
