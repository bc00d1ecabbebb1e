"""Chaos: clients, a nemesis that breaks what it can reach, and a judge who counts.

    make chaos-quick        one seed, a few hundred jobs, a shortened lease
    make chaos-full         three seeds, a thousand jobs each, the product's own times
    PARLEY_SEED=7 make chaos-quick

A run starts the whole product as real processes on servers of its own, each
behind a fault proxy. Clients hand in jobs as the documentation tells them to:
with a key, again after 503 or a broken connection. Meanwhile the nemesis deals
faults from a shuffled deck; seed and history (JSON lines) are printed, so that
a run can be looked into and dealt again. Afterwards the judge compares what
clients were told, what is stored and what the model was asked.

The form (history, nemesis, checker) and the counts are Jepsen's.
"""
