import sys, statistics; sys.path.insert(0,'/work/main/bench')
import os; os.chdir('/work/main/bench')
from harness import fanout
from harness.settings import Settings
from harness.corpus import MIB
S = Settings("x", 1, 0.05, 4*MIB, int(sys.argv[1]), 60, 60, 0.3)
arena = fanout.ARENAS[1]
out = {}
for r in range(3):
    for app in ["ssehub_app","better_sse_app","res_write_app"]:
        f = fanout.measure_once(arena, app, S)
        for k,v in f.items(): out.setdefault(app,{}).setdefault(k,[]).append(v)
for app, m in out.items(): print(app, {k: f"{statistics.median(v):.3g}" for k,v in m.items()})
