"""Writes the goldens of the metrics: every metric once more, in NumPy and plain Python, from its definition.

Run by hand: python test/golden/metrics/make_metrics.py
Made with numpy 2.4.6. The routing is random with habits (domains, ids and layers that follow each other), so that no
metric is trivial. Values that come from a simulation are given as [mean, standard error].
"""

import itertools
import json
import math
from collections import Counter
from pathlib import Path

import numpy as np

E, K, LAYERS, LENGTHS = 8, 3, [0, 3, 7], [20, 9, 14, 1, 26, 20]
DOMAINS = ["prose", "code", "prose", "code", "code", "prose"]
T, L = sum(LENGTHS), len(LAYERS)
OFFSETS = np.concatenate([[0], np.cumsum(LENGTHS)])
NEXT = np.array([t for t in range(T - 1) if t + 1 not in OFFSETS])  # tokens with a next one in their sequence
rng = np.random.default_rng(20)


def make():
    ids = (20 ** rng.random(T)).astype(int)
    domain = np.repeat([DOMAINS.index(d) for d in DOMAINS], LENGTHS)
    by_domain, by_id = rng.normal(size=(2, L, E)), rng.normal(size=(20, L, E))
    logits = by_domain[domain] + by_id[ids] + rng.normal(size=(T, L, E))
    logits[:, 1] += 1.5 * logits[:, 0]  # the second layer follows the first
    final = logits + rng.normal(size=(T, L, E))
    indices, late = (np.argsort(-x, axis=-1)[..., :K] for x in (logits, final))
    probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    probs = np.round(probs, 4) + 0.0001
    weights = np.round(np.take_along_axis(probs, indices, -1), 3)
    outputs = np.round(rng.normal(size=(T, K, 5)) * (1 + indices[:, 2, :, None]), 2)
    return ids, indices, late, probs, weights, outputs


IDS, INDICES, LATE, PROBS, WEIGHTS, OUTPUTS = make()
PREDICTED = np.roll(IDS, 3)


def xlog(p):
    p = np.asarray(p, float)
    return np.where(p > 0, p * np.log2(np.where(p > 0, p, 1)), 0)


def entropy(p):
    return -xlog(np.asarray(p, float) / np.sum(p)).sum()


def jsd(rows, weights=None):
    rows = [np.asarray(row, float) / np.sum(row) for row in rows]
    w = np.ones(len(rows)) / len(rows) if weights is None else np.asarray(weights, float) / np.sum(weights)
    return entropy(sum(a * row for a, row in zip(w, rows))) - sum(a * entropy(row) for a, row in zip(w, rows))


def mutual(joint):
    joint = np.asarray(joint, float) / np.sum(joint)
    return entropy(joint.sum(0)) + entropy(joint.sum(1)) - entropy(joint)


def simulated(values):
    values = np.asarray(values, float)
    return [values.mean(), values.std(ddof=1) / math.sqrt(len(values))]


def counts_of(experts):
    return np.bincount(np.asarray(experts).ravel(), minlength=E)


def uniform_choices(tokens):
    return np.argsort(rng.random((tokens, E)), axis=-1)[:, :K]


def load_shape(n):
    n = np.asarray(n, float)
    p = n / n.sum()
    return {
        "maxShare": p.max(),
        "cv": n.std() / n.mean(),
        "maxVio": n.max() / n.mean() - 1,
        "normalizedEntropy": entropy(n) / math.log2(len(n)),
        "gini": np.abs(n[:, None] - n[None]).sum() / (2 * len(n) ** 2 * n.mean()),
        "hhi": (p**2).sum(),
        "inverseHhi": 1 / (p**2).sum(),
        "effectiveExperts": 2 ** entropy(n),
        "jain": n.sum() ** 2 / (len(n) * (n**2).sum()),
    }


def load():
    draws = [load_shape(counts_of(uniform_choices(T))) for _ in range(10_000)]
    return {
        "shapes": [load_shape(counts_of(INDICES[:, l])) for l in range(L)],
        "firstChoices": [load_shape(counts_of(INDICES[:, l, 0])) for l in range(L)],
        "chance": {name: simulated([d[name] for d in draws]) for name in draws[0]},
    }


def specialization():
    out = []
    for l in range(L):
        by_text = np.array([counts_of(INDICES[a:b, l]) for a, b in itertools.pairwise(OFFSETS)])
        prose = np.array([d == "prose" for d in DOMAINS])
        groups = [by_text[prose].sum(0), by_text[~prose].sum(0)]
        splits = [set(c) for c in itertools.combinations(range(6), 3)]
        values = [jsd([by_text[[i in s for i in range(6)]].sum(0), by_text[[i not in s for i in range(6)]].sum(0)]) for s in splits]
        out.append({"tokenShare": [K * g / g.sum() for g in groups], "value": jsd(groups), "chance": np.mean(values)})
    return out


def confidence():
    p = np.sort(PROBS / PROBS.sum(-1, keepdims=True), -1)[..., ::-1]
    return [
        {
            "routerEntropy": np.mean([entropy(row) * math.log(2) for row in p[:, l]]),
            "topMargin": (p[:, l, 0] - p[:, l, 1]).mean(),
            "boundaryMargin": (p[:, l, K - 1] - p[:, l, K]).mean(),
            "topKMass": p[:, l, :K].sum(-1).mean(),
        }
        for l in range(L)
    ]


def coactivation():
    out = {}
    for pairs in ("all", "adjacentRank"):
        out[pairs] = []
        for l in range(L):
            used = np.zeros((T, E))
            np.put_along_axis(used, INDICES[:, l], 1, -1)
            together = used.T @ used
            if pairs == "adjacentRank":
                together = np.zeros((E, E))
                for row in INDICES[:, l]:
                    for a, b in itertools.pairwise(row):
                        together[a, b] += 1
                        together[b, a] += 1
            n = used.sum(0)
            lift = together * T / np.outer(n, n)
            keep = ~np.eye(E, dtype=bool)
            out[pairs].append({"conditional": (together / n[:, None])[keep], "lift": lift[keep]})
    return out


def overlap_values(a, b):
    shared = np.array([len(set(x) & set(y)) for x, y in zip(a, b)])
    return {
        "firstChoice": np.mean([x[0] == y[0] for x, y in zip(a, b)]),
        "anyOverlap": np.mean(shared > 0),
        "meanOverlap": np.mean(shared / K),
        "jaccard": np.mean(shared / (2 * K - shared)),
    }


def repetition():
    total = math.comb(E, K)
    p = [math.comb(K, m) * math.comb(E - K, K - m) / total for m in range(K + 1)]
    out = []
    for l in range(L):
        x = INDICES[:, l]
        draws = [overlap_values(y[NEXT], y[NEXT + 1]) for y in (x[rng.permutation(T)] for _ in range(2000))]
        first, used = counts_of(x[:, 0]) / T, counts_of(x) / T
        out.append(
            {
                "value": overlap_values(x[NEXT], x[NEXT + 1]),
                "sumOfSquares": {"firstChoice": (first**2).sum(), "meanOverlap": (used**2).sum() / K},
                "shuffled": {name: simulated([d[name] for d in draws]) for name in draws[0]},
            }
        )
    uniform = {
        "firstChoice": 1 / E,
        "anyOverlap": 1 - p[0],
        "meanOverlap": K / E,
        "jaccard": sum(q * m / (2 * K - m) for m, q in enumerate(p)),
    }
    return {"layers": out, "uniform": uniform}


def saturation():
    out = []
    for l in range(L):
        values = overlap_values(INDICES[:, l], LATE[:, l])
        first = [counts_of(x[:, l, 0]) / T for x in (INDICES, LATE)]
        used = [counts_of(x[:, l]) / T for x in (INDICES, LATE)]
        out.append(
            {
                "topK": values["meanOverlap"],
                "firstChoice": values["firstChoice"],
                "byLoad": [used[0] @ used[1] / K, first[0] @ first[1]],
            }
        )
    return out


def joint_counts(a, b, pairs):
    joint = np.zeros((E, E))
    for x, y in zip(a, b):
        if pairs == "firstChoice":
            joint[x[0], y[0]] += 1
        elif pairs == "sameRank":
            np.add.at(joint, (x, y), 1)
        else:
            for i in x:
                joint[i, y] += 1
    return joint


def transitions():
    out = {}
    for pairs in ("firstChoice", "sameRank", "all"):
        out[pairs] = []
        for a, b in itertools.pairwise(INDICES.swapaxes(0, 1)):
            joint = joint_counts(a, b, pairs)
            draws = [mutual(joint_counts(a, b[rng.permutation(T)], pairs)) for _ in range(400)]
            out[pairs].append({"joint": joint, "value": mutual(joint), "shuffled": simulated(draws)})
    return out


def trajectory_values(first):
    ways = Counter(map(tuple, first))
    bits = entropy(list(ways.values()))
    return {
        "distinct": len(ways),
        "shared": sum(n for n in ways.values() if n > 1) / T,
        "entropy": bits,
        "totalCorrelation": sum(entropy(counts_of(first[:, l])) for l in range(L)) - bits,
    }


def trajectories():
    first = INDICES[:, :, 0]
    draws = [trajectory_values(np.stack([rng.permutation(first[:, l]) for l in range(L)], 1)) for _ in range(1000)]
    return {"value": trajectory_values(first), "shuffled": {name: simulated([d[name] for d in draws]) for name in draws[0]}}


def flow():
    nodes, at = [], []
    for l in range(L):
        n = counts_of(INDICES[:, l, 0])
        busy = [e for e in range(E) if n[e] and n[e] >= 1.5 * T / E]
        nodes += [[LAYERS[l], e, int(n[e])] for e in busy]
        rest = int(n.sum() - n[busy].sum())
        nodes += [[LAYERS[l], None, rest]] if rest else []
        at.append([(LAYERS[l], e if e in busy else None) for e in INDICES[:, l, 0]])
    place = {(layer, e): i for i, (layer, e, _) in enumerate(nodes)}
    edges = Counter((place[a], place[b]) for x, y in itertools.pairwise(at) for a, b in zip(x, y))
    return {"nodes": nodes, "edges": sorted([*edge, n] for edge, n in edges.items())}


def vocabulary():
    after = np.full(T, -1)
    after[NEXT] = IDS[NEXT + 1]
    out = {}
    for name, ids in {"input": IDS, "next": after, "predicted": PREDICTED}.items():
        seen = {i: n for i, n in sorted(Counter(ids.tolist()).items()) if i >= 0}
        chance = {}
        for n in set(seen.values()):
            draws = [counts_of(uniform_choices(n)).max() / n for _ in range(4000)]
            chance[n] = simulated(draws)
        shares = [[counts_of(INDICES[ids == i, l]).max() / n for i, n in seen.items()] for l in range(L)]
        out[name] = {"seen": list(seen.values()), "shares": shares, "chance": sorted([n, *c] for n, c in chance.items())}
    return out


def coverage(window=4, fraction=0.7):
    out = []
    for l in range(L):
        loads = [
            counts_of(INDICES[start : start + window, l])
            for a, b in itertools.pairwise(OFFSETS)
            for start in range(a, b - window + 1, window)
        ]
        reach = [int(np.argmax(np.cumsum(np.sort(n)[::-1]) >= fraction * n.sum()) + 1) for n in loads]
        out.append({"distinct": np.mean([(n > 0).sum() for n in loads]), "toReach": np.mean(reach)})
    draws = [np.sort(counts_of(uniform_choices(window)))[::-1] for _ in range(20_000)]
    reach = [int(np.argmax(np.cumsum(n) >= fraction * n.sum()) + 1) for n in draws]
    return {"layers": out, "chance": {"distinct": E * (1 - (1 - K / E) ** window), "toReach": simulated(reach)}}


def hit_rate(accesses, capacity, policy):
    cache, hits, uses, last = [], 0, Counter(), {}
    for at, e in enumerate(accesses):
        if e in cache:
            hits += 1
        else:
            if len(cache) == capacity:
                ahead = list(accesses[at + 1 :])
                worst = {
                    "lru": lambda x: last[x],
                    "lfu": lambda x: (uses[x], last[x]),
                    "belady": lambda x: -(ahead.index(x) if x in ahead else len(ahead)),
                }[policy]
                cache.remove(min(cache, key=worst))
            cache.append(e)
        uses[e] += 1
        last[e] = at
    return hits / len(accesses)


def cache(capacity=4):
    out = {}
    for policy in ("lru", "lfu", "belady"):
        out[policy] = {
            "value": [hit_rate(INDICES[:, l].ravel().tolist(), capacity, policy) for l in range(L)],
            "uniform": simulated([hit_rate(uniform_choices(T).ravel().tolist(), capacity, policy) for _ in range(100)]),
            "shuffled": simulated(
                [hit_rate(INDICES[rng.permutation(T), 0].ravel().tolist(), capacity, policy) for _ in range(100)]
            ),
        }
    return out


def drops(factor=1.1):
    out = {}
    for order in ("token", "rank"):
        out[order] = []
        for l in range(L):
            dropped = np.zeros((T, K))
            for a, b in itertools.pairwise(OFFSETS):
                capacity, load = math.ceil(factor * K * (b - a) / E), Counter()
                turns = itertools.product(range(a, b), range(K))
                if order == "rank":
                    turns = sorted(turns, key=lambda turn: (turn[1], turn[0]))
                for t, slot in turns:
                    e = INDICES[t, l, slot]
                    load[e] += 1
                    dropped[t, slot] = load[e] > capacity
            place = np.concatenate([np.arange(n) for n in LENGTHS])
            by_position = [dropped[place == p].mean() for p in range(max(LENGTHS))]
            out[order].append({"dropped": dropped.mean(), "byPosition": by_position, "bySlot": dropped.mean(0)})
    q = K / E
    total, sums, reach = 0, np.zeros(max(LENGTHS)), np.zeros(max(LENGTHS))
    for n in LENGTHS:
        capacity = math.ceil(factor * K * n / E)
        for t in range(n):
            p = sum(math.comb(t, c) * q**c * (1 - q) ** (t - c) for c in range(capacity, t + 1))
            sums[t] += p
            reach[t] += 1
            total += p
    return {**out, "chance": total / T, "chanceByPosition": sums / reach}


def balance(placement):
    loads = [np.bincount(placement, weights=counts_of(INDICES[:, l])) for l in range(L)]
    return {
        "maxOverMean": [n.max() / n.mean() for n in loads],
        "sglang": np.mean([(n.mean() + 1e-5) / (n.max() + 1e-5) for n in loads]),
        "vllm": sum(n.mean() for n in loads) / sum(n.max() for n in loads),
    }


def saliency(layer=2):
    norm, peak = np.linalg.norm(OUTPUTS, axis=-1), np.abs(OUTPUTS).max(-1)
    index, g = INDICES[:, layer], WEIGHTS[:, layer]
    rows = [index == e for e in range(E)]
    return {
        "frequency": [m.sum() for m in rows],
        "weightedFrequency": [g[m].sum() for m in rows],
        "eanSum": [norm[m].sum() for m in rows],
        "eanMean": [norm[m].mean() for m in rows],
        "weightedEan": [(g * norm)[m].sum() for m in rows],
        "reap": [(g * norm)[m].mean() for m in rows],
        "maxActivation": [peak[m].max() for m in rows],
    }


def similarity():
    a, b = np.round(rng.normal(size=(2, 6, 9)), 2)
    b[:4] += a[[3, 0, 1, 2]]
    b = np.round(b, 2)
    products = a @ b.T
    orders = list(itertools.permutations(range(6)))
    best = max(orders, key=lambda order: sum(products[i, j] for i, j in enumerate(order)))
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    x, y = np.round(rng.normal(size=(12, 4)), 2), np.round(rng.normal(size=(12, 3)), 2)
    y[:, 0] += x[:, 1]
    y = np.round(y, 2)
    xc, yc = x - x.mean(0), y - y.mean(0)
    fro = np.linalg.norm
    scale = fro(xc.T @ xc) * fro(yc.T @ yc)
    draws = [fro(yc[rng.permutation(12)].T @ xc) ** 2 / scale for _ in range(4000)]
    domain = np.repeat([d == "prose" for d in DOMAINS], LENGTHS)
    served = [np.stack([counts_of(INDICES[domain == d, l]) for d in (True, False)]) for l in range(L)]
    return {
        "a": a, "b": b, "match": best,
        "aligned": sum(products[i, j] for i, j in enumerate(best)) / norms,
        "unaligned": np.trace(products) / norms,
        "x": x, "y": y, "cka": fro(yc.T @ xc) ** 2 / scale, "ckaChance": simulated(draws),
        "divergence": [[jsd([n[:, i], n[:, j]]) for i in range(E) for j in range(i)] for n in served],
    }  # fmt: skip


def binomial_bounds(n, p):
    """The smallest counts whose cumulative probability reaches 2.5 % and 97.5 %, by adding up exact terms."""
    terms = np.cumsum([math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)])
    return [int(np.argmax(terms >= q)) for q in (0.025, 0.975)]


def groups_of(labels, layer):
    return [counts_of(INDICES[labels == label, layer]) for label in dict.fromkeys(labels.tolist())]


def more_load():
    window = np.arange(T) // 30
    prose = np.repeat([d == "prose" for d in DOMAINS], LENGTHS)
    rates = [counts_of(INDICES[prose == d, 1]) / (prose == d).sum() for d in (True, False)]
    return {
        "byWindow": [[load_shape(n) for n in groups_of(window, l)] for l in range(L)],
        "byRank": [[load_shape(counts_of(INDICES[:, l, r])) for r in range(K)] for l in range(L)],
        "binomial": [[n, p, *binomial_bounds(n, p)] for n, p in [(90, K / E), (200, 0.02), (31, 0.9), (7, 0.5)]],
        "rateDifference": rates[0] - rates[1],
    }


def more_specialization():
    place = np.concatenate([np.arange(n) for n in LENGTHS])
    doubling = np.array([0 if p == 0 else int(math.log2(p)) + 1 for p in place])
    prose = np.repeat([d == "prose" for d in DOMAINS], LENGTHS)
    by_text = [[counts_of(INDICES[a:b, l]) for a, b in itertools.pairwise(OFFSETS)] for l in range(L)]
    splits = [[i in c for i in range(6)] for c in itertools.combinations(range(6), 3)]

    def divergence(l, split):
        sides = [sum(n for n, s in zip(by_text[l], split) if s == side) for side in (True, False)]
        pairs = itertools.combinations(np.array(sides).T, 2)
        values = [jsd([a, b]) for a, b in pairs if a.sum() > 0 and b.sum() > 0]
        return np.mean(values)

    return {
        "byPosition": [jsd(groups_of(doubling, l)) for l in range(L)],
        "weighted": [jsd(groups_of(~prose, l), [3, 1]) for l in range(L)],
        "divergence": [np.mean([divergence(l, split) for split in splits]) for l in range(L)],
        "first": [
            [np.bincount(INDICES[IDS == i, l, 0]).max() / (IDS == i).sum() for i in sorted(set(IDS.tolist()))]
            for l in range(L)
        ],
    }


def information():
    out = []
    for joint in (joint_counts(INDICES[:, 0], INDICES[:, 1], "firstChoice"), np.array([[30, 10, 0], [5, 5, 50]])):
        n, freedom = joint.sum(), np.prod([(joint.sum(axis) > 0).sum() - 1 for axis in (0, 1)])
        chi = np.quantile(rng.chisquare(freedom, 2_000_000), [0.025, 0.975]) / (2 * n * math.log(2))
        bias = freedom / (2 * n * math.log(2))
        value = mutual(joint)
        out.append({"joint": joint, "corrected": value - bias, "normalized": value / entropy(joint.sum(0)), "bounds": chi})
    return out


def chances(placement, similar):
    draws = [[np.bincount(placement, weights=counts_of(uniform_choices(T))) for _ in range(L)] for _ in range(4000)]
    mean_over_max = [
        {
            "sglang": np.mean([(n.mean() + 1e-5) / (n.max() + 1e-5) for n in loads]),
            "vllm": sum(n.mean() for n in loads) / sum(n.max() for n in loads),
            "vllmOverLayers": np.mean(loads, 0).sum() / np.max(loads, 0).sum(),
        }
        for loads in draws
    ]
    real = [np.bincount(placement, weights=counts_of(INDICES[:, l])) for l in range(L)]
    norm, g, index = np.linalg.norm(OUTPUTS, axis=-1).ravel(), WEIGHTS[:, 2].ravel(), INDICES[:, 2].ravel()
    mixed = []
    for _ in range(2000):
        index = rng.permutation(index)
        mixed.append([(g * norm)[index == e].mean() for e in range(E)])
    a, b = similar["a"], similar["b"]
    orders = np.array(list(itertools.permutations(range(6))))
    aligned = []
    for _ in range(2000):
        products = a @ b[:, rng.permutation(9)].T
        aligned.append(products[np.arange(6), orders].sum(-1).max() / (np.linalg.norm(a) * np.linalg.norm(b)))
    return {
        "vllmOverLayers": np.mean(real, 0).sum() / np.max(real, 0).sum(),
        "balance": {name: simulated([d[name] for d in mean_over_max]) for name in mean_over_max[0]},
        "reap": [simulated(values) for values in np.transpose(mixed)],
        "aligned": simulated(aligned),
    }


def plain(value):
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.10g}")
    return int(value) if isinstance(value, (np.integer, bool, np.bool_)) else value


def main():
    placement = [0, 1, 2, 0, 1, 2, 0, 1]
    golden = {
        "trace": {
            "nExperts": E, "topK": K, "layers": LAYERS, "sequenceOffsets": OFFSETS, "domains": DOMAINS, "tokenIds": IDS,
            "expertIndices": INDICES.ravel(), "routerProbs": PROBS.ravel(), "final": LATE.ravel(), "predictedIds": PREDICTED,
            "weights": WEIGHTS[:, 2].ravel(), "outputs": OUTPUTS.ravel(), "placement": placement,
        },
        "load": load(),
        "specialization": specialization(),
        "confidence": confidence(),
        "coactivation": coactivation(),
        "repetition": repetition(),
        "saturation": saturation(),
        "transitions": transitions(),
        "trajectories": trajectories(),
        "flow": flow(),
        "vocabulary": vocabulary(),
        "coverage": coverage(),
        "cache": cache(),
        "drops": drops(),
        "balance": balance(placement),
        "saliency": saliency(),
        "similarity": similarity(),
        "moreLoad": more_load(),
        "moreSpecialization": more_specialization(),
        "information": information(),
    }  # fmt: skip
    golden["chances"] = chances(placement, golden["similarity"])
    Path(__file__).with_name("metrics.json").write_text(json.dumps(plain(golden), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
