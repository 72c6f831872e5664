"""The other ways to count co-activation, for bench/metrics.ts: DuckDB's self join, NumPy, and a loop over tokens.

    python bench/metrics_peer.py FILE --tokens 312500 --layers 40 --top-k 4 --experts 16 --method duckdb

FILE holds the chosen experts as little-endian uint16, [tokens, layers, top_k]. Answers one line of JSON: the seconds of
the processor that counting took (reading and setting up apart), and the counts of pairs, [layers, experts, experts], row
by row. One thread.

    duckdb   a self join of a long table (token, layer, slot, expert), grouped by layer and pair
    numpy    for each layer a one-hot matrix [tokens, experts], times itself
    loop     what published analysis scripts do: Python's own loop over tokens, layers and pairs

Needs numpy, and duckdb for its method.
"""

import argparse
import json
import os
import resource
import time

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np  # noqa: E402


def by_duckdb(choices, experts):
    import duckdb

    tokens, layers, k = choices.shape
    db = duckdb.connect()
    db.execute("SET threads = 1")
    flat = {
        "token": np.repeat(np.arange(tokens, dtype=np.int32), layers * k),
        "layer": np.tile(np.repeat(np.arange(layers, dtype=np.int16), k), tokens),
        "slot": np.tile(np.arange(k, dtype=np.int8), tokens * layers),
        "expert": choices.ravel(),
    }
    db.register("flat", flat)
    db.execute("CREATE TABLE routing AS SELECT * FROM flat")
    start = time.process_time()
    rows = db.execute(
        "SELECT a.layer, a.expert, b.expert, count(*) FROM routing a JOIN routing b "
        "ON a.token = b.token AND a.layer = b.layer AND a.slot <> b.slot GROUP BY ALL"
    ).fetchall()
    seconds = time.process_time() - start
    together = np.zeros((layers, experts, experts), np.int64)
    for layer, i, j, n in rows:
        together[layer, i, j] = n
    return seconds, together


def by_numpy(choices, experts):
    start = time.process_time()
    together = []
    for layer in range(choices.shape[1]):
        used = np.zeros((len(choices), experts), np.float32)
        np.put_along_axis(used, choices[:, layer], 1, -1)
        together.append(used.T @ used)
    together = np.stack(together).round().astype(np.int64)
    together[:, np.arange(experts), np.arange(experts)] = 0
    return time.process_time() - start, together


def by_loop(choices, experts):
    rows = choices.tolist()
    start = time.process_time()
    together = [[[0] * experts for _ in range(experts)] for _ in range(choices.shape[1])]
    for token in rows:
        for layer, chosen in zip(together, token):
            for a, i in enumerate(chosen):
                for j in chosen[a + 1 :]:
                    layer[i][j] += 1
                    layer[j][i] += 1
    return time.process_time() - start, np.array(together)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    for name in ("tokens", "layers", "top-k", "experts"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--method", choices=("duckdb", "numpy", "loop"), required=True)
    given = parser.parse_args()
    choices = np.fromfile(given.file, "<u2").reshape(-1, given.layers, given.top_k)[: given.tokens]
    seconds, together = {"duckdb": by_duckdb, "numpy": by_numpy, "loop": by_loop}[given.method](choices, given.experts)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "together": together.ravel().tolist(), "rss": rss}))


if __name__ == "__main__":
    main()
