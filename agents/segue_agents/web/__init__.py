"""A worker's web port: probes, metrics, and how it stands, for machines and for people.

    probes    a Status judged: alive, ready, started
    pages     a request to an answer; no socket
    html      the page a person reads
    access    who may read what is not open to all; TLS
    server    sockets, limits, a thread of its own
    address   where it is, for commands on this machine
"""

from __future__ import annotations
