"""The scenarios by name, in the order in which they run. Each is a module with a `run`."""

from . import big_user, cluster, cold, concurrent, events, hot_user, limits, memory, mixed, peers, profile, reads, smoke, soak, start, writes

ALL = {
    "smoke": smoke,
    "concurrent": concurrent,
    "limits": limits,
    "peers": peers,
    "hot-user": hot_user,
    "big-user": big_user,
    "memory": memory,
    "start": start,
    "cold": cold,
    "events": events,
    "mixed": mixed,
    "cluster": cluster,
    "reads": reads,
    "writes": writes,
    "profile": profile,
    "soak": soak,
}
