"""A round of names on the warm 256-token decoder: ordinary rows (the whole picture) and short rows (the caption alone must tell), on any device.

python train_names.py --src CHECKOUT --data DIR --out DIR --deadline 560 [--device cuda] [--rows 160] [--short 768]
DATA: pack.json.xz words.json codes.npz tokenizer.json config.json decoder.safetensors. Phase 1 is a whole schedule that ends --deadline seconds
after the start; after its export the run goes on at --again of the peak until OUT/go says how many seconds are left, then decays to nought again.
CHECKOUT is commit 9a8e4da, from before the package was laid in rooms. words.json is by words_make.py, codes.npz has `codes`, uint16 [N, 16, 16]: the
dVAE's of `samples` below, in their order, composed at 128 px. config.json and decoder.safetensors are those of the first round (../recipe.toml).
"""
import argparse, json, math, os, shutil, subprocess, sys, tempfile, time
T00 = time.time()
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
a = argparse.ArgumentParser()
for f in ("src", "data", "out"): a.add_argument("--" + f, required=True)
a.add_argument("--deadline", type=float, default=60); a.add_argument("--device", default="cuda"); a.add_argument("--workers", type=int, default=14)
a.add_argument("--rows", type=int, default=160); a.add_argument("--short", type=int, default=768); a.add_argument("--targets", type=int, default=38)
a.add_argument("--beta", type=float, default=0.3); a.add_argument("--peak", type=float, default=0.5); a.add_argument("--again", type=float, default=0.3); a.add_argument("--wait", type=float, default=60)
a.add_argument("--constant", type=float, default=0.35); a.add_argument("--warmup", type=int, default=150); a.add_argument("--compile", type=int, default=1); a.add_argument("--check", default="")
a.add_argument("--max-steps", type=int, default=10**9); a.add_argument("--limit", type=float, default=1e9)
o = a.parse_args()
sys.path.insert(0, o.src)
from pathlib import Path
import numpy as np, torch, torch.nn.functional as F
from torch import nn
def say(*x): print(f"[{time.time()-T00:7.1f}]", *x, flush=True)
torch.set_float32_matmul_precision("high")
from janus_cli import weights
from janus_cli.config import read_config
from janus_cli.nets import attention
from janus_cli.nets.attention import Places
from janus_cli.nets.decoder import DELIMITER, PADDING, Decoder
from janus_cli.training import heldout, losses
from janus_cli.training.captions import DEFAULT_STYLE
from janus_cli.training.optim import _adamw
from janus_cli.training.pack import read_pack
from janus_cli.training.pictures import BACKGROUNDS, HUES, index
from janus_cli.training.samples import RELATIONS, Sample, restyled, training_samples
from tokenizers import Tokenizer
sys.path.insert(0, str(Path(__file__).resolve().parent))
import captions_names as M

SLOTS, MUON, ADAM, TEXT, DROP, CORRUPT, END = 24, 0.02, 3e-3, 0.1, 0.1, 0.25, 0
BLIND, SWAP, RESTYLE = 0.25, 0.15, 0.05  # of the ordinary rows
# shares of kinds; f: in the default style, o: in the others
ORDINARY = {"plain f": .22, "plain o": .24, "background f": .15, "background o": .04, "hue f": .11, "hue o": .03, "scene f": .21}
SHORT = {"plain f": .48, "plain o": .25, "background f": .06, "background o": .02, "hue f": .11, "hue o": .03, "scene f": .05}
FOREIGN = {"ordinary": 0.45, "short": 0.70}
data, out = Path(o.data), Path(o.out); out.mkdir(parents=True, exist_ok=True)
concepts = read_pack(data / "pack.json.xz"); M.load(data / "words.json")
held = heldout.pairs(list(concepts))
samples = training_samples(concepts, DEFAULT_STYLE, 60000, 0)
pairs = [(c, s) for c, s in index(list(concepts)) if (concepts[c].name, s) not in held and s != DEFAULT_STYLE]
samples += [Sample((c,), s, b) for c, s in pairs for b in BACKGROUNDS]
samples += [Sample((c,), s, hue=h) for c, s in pairs for h in HUES]
codes = np.load(data / "codes.npz")["codes"]
assert len(codes) == len(samples), (len(codes), len(samples))
flat = codes.reshape(len(codes), -1)
# nothing that is held out: no pair of concept and style, no couple side by side
for s in samples:
    for c in s.concepts: assert (concepts[c].name, s.style) not in held, s
    if s.layout in RELATIONS: assert not heldout.together(*(concepts[c].name for c in s.concepts)), s
groups, same = {}, {}
for i, s in enumerate(samples):
    groups.setdefault(f"{s.kind} {'f' if s.style == DEFAULT_STYLE else 'o'}", []).append(i)
    if not s.layout: same.setdefault((s.concepts, s.background, s.hue), []).append(i)
groups = {k: np.array(v) for k, v in groups.items()}
tokenizer = Tokenizer.from_file(str(data / "tokenizer.json"))
W = codes.shape[2]; N = flat.shape[1]
drawn = (flat[groups["plain f"]] != flat[groups["plain f"]][:, :1]).mean(0)
spots = 0.15 + drawn[1:]; spots = spots / spots.sum()
say("samples", len(samples), {k: len(v) for k, v in groups.items()}, "drawn", round(float(drawn.mean()), 3))

def draw(shares, count, rng):
    kinds = list(shares); p = np.array([shares[k] for k in kinds]); picks = rng.choice(len(kinds), count, p=p / p.sum())
    return np.array([groups[kinds[k]][rng.integers(len(groups[kinds[k]]))] for k in picks])
def told(i, rng, share):
    s = samples[i]
    return restyled(s, concepts, held, rng) if s.kind == "plain" and rng.random() < share else s
def texts(chosen, rng, share, foreign, drop):
    words = [M.caption(told(i, rng, share), concepts, rng, foreign if samples[i].style == DEFAULT_STYLE else 0.6 * foreign) for i in chosen]
    rows = np.full((len(words), SLOTS), PADDING)
    for row, e in zip(rows, tokenizer.encode_batch(words), strict=True):
        ids = e.ids[:SLOTS]
        if drop == 0 or rng.random() >= drop: row[: len(ids)] = ids
    return rows
def cousins(chosen, rng):
    """For each sample the same thing in another style, or -1."""
    found = np.full(len(chosen), -1)
    for n, i in enumerate(chosen):
        s = samples[i]
        if s.layout: continue
        others = [j for j in same[s.concepts, s.background, s.hue] if j != i]
        if others: found[n] = others[int(rng.integers(len(others)))]
    return found
def head(text, count):
    """The opening of every row: ids, types, positions, and what stands before its picture."""
    n = len(text); ids = np.full((n, SLOTS + 2 + count), DELIMITER); types = np.ones(ids.shape, np.int64)
    ids[:, 1:SLOTS + 1] = text; types[:, :SLOTS + 1] = 0; types[:, 1:SLOTS + 1][text == PADDING] = PADDING
    return ids, types
def ordinary(rng):
    chosen = draw(ORDINARY, o.rows, rng); text = texts(chosen, rng, RESTYLE, FOREIGN["ordinary"], DROP)
    clean = flat[chosen].astype(np.int64); u = rng.random((len(chosen), 1))
    highest = np.where(u < BLIND + SWAP, 1.0, CORRUPT)
    noisy = rng.random(clean.shape) < rng.random((len(chosen), 1)) * highest
    other = rng.choice(clean.reshape(-1), clean.shape)
    cousin = cousins(chosen, rng); swap = ((u[:, 0] >= BLIND) & (u[:, 0] < BLIND + SWAP) | (rng.random(len(chosen)) < 0.2)) & (cousin >= 0)
    other[swap] = flat[cousin[swap]]
    ids, types = head(text, N - 1); ids[:, SLOTS + 2:] = np.where(noisy, other, clean)[:, :-1]
    grid = np.zeros((2, *ids.shape), np.int64); grid[:, :, SLOTS + 2:] = np.indices(codes.shape[1:]).reshape(2, 1, -1)[..., :-1]
    return {"ids": ids, "types": types, "rows": grid[0], "cols": grid[1], "codes": clean, "text": text}
def short(rng):
    """Rows of some tokens at places that all rows share, mostly with nothing true before them."""
    chosen = draw(SHORT, o.short, rng); text = texts(chosen, rng, 0.03, FOREIGN["short"], 0.02); n, K = len(chosen), o.targets
    places = np.sort(rng.choice(np.arange(1, N), K, replace=False, p=spots)); before = places - 1
    true = flat[chosen][:, before].astype(np.int64); target = flat[chosen][:, places].astype(np.int64)
    inputs = rng.choice(target.reshape(-1), true.shape); u = rng.random(n); corner = flat[chosen, 0].astype(np.int64)
    inputs = np.where(((u >= .5) & (u < .65))[:, None], corner[:, None], inputs)
    cousin = cousins(chosen, rng); swap = (u >= .65) & (u < .80) & (cousin >= 0); inputs[swap] = flat[cousin[swap]][:, before]
    keep = (u >= .80)[:, None] & (rng.random(true.shape) < rng.random((n, 1))); inputs = np.where(keep, true, inputs)
    ids, types = head(text, K); ids[:, SLOTS + 2:] = inputs
    length = (text != PADDING).sum(1); positions = np.zeros(ids.shape, np.int64)
    positions[:, 1:SLOTS + 1] = np.minimum(np.arange(1, SLOTS + 1)[None], length[:, None] + 1); positions[:, SLOTS + 1] = length + 1
    positions[:, SLOTS + 2:] = length[:, None] + 2 + before[None]
    grid = np.full((2, *ids.shape), -1); grid[0, :, SLOTS + 2:] = before // W; grid[1, :, SLOTS + 2:] = before % W
    weight = np.where(target != corner[:, None], 1.0, 0.3).astype(np.float32); weight /= weight.sum()
    return {"ids": ids, "types": types, "positions": positions, "rows": grid[0], "cols": grid[1], "codes": target, "weight": weight}
def tensors(d): return {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in d.items()}
def batch(step): rng = np.random.default_rng([2, step]); return tensors(ordinary(rng)), tensors(short(rng))

def fast_bias(relative, query, key, first):
    """RelativeBias.forward where `first` non-grid tokens come before grid tokens at places that all rows share."""
    top = Places(*(t[:, :first] for t in (key.types, key.positions, key.rows, key.cols)))
    near = relative.table(relative.index(query, top)).permute(0, 3, 1, 2)          # [B, H, T, first]
    one = Places(*(t[:1, first:] for t in (query.types, query.positions, query.rows, query.cols)))
    grid = relative.table(relative.index(one, one)[0]).permute(2, 0, 1)             # [H, N, N]
    far = F.pad(grid, (0, 0, first, 0)).expand(near.shape[0], -1, -1, -1)
    return torch.cat([near, far], 3)
plain_bias = attention.RelativeBias.forward
attention.RelativeBias.forward = lambda self, q, k: fast_bias(self, q, k, SLOTS + 2)

net = Decoder(read_config(data / "config.json").decoder); weights.load(net, data / "decoder.safetensors")
for p in net.parameters(): p.data = p.data.float().clone(); p.requires_grad_(True)
net.train(); say("parameters", sum(p.numel() for p in net.parameters()))
def ordinary_loss(b):
    hidden = net(b["ids"], b["types"], b["rows"], b["cols"]); clean, text = b["codes"], b["text"]
    first = hidden.shape[1] - clean.shape[1]; h = hidden[:, first:].flatten(0, 1)
    image = losses.chunked_cross_entropy(h, *net.head("image"), clean.flatten(), torch.full((len(h),), 1 / len(h), device=h.device), 16384)
    present = F.pad(text != PADDING, (1, 0), value=False); present[:, 0] = present.any(1)
    target = F.pad(text.clamp_min(END) * (text != PADDING), (0, 1), value=END)
    w = present.flatten().float(); w = w / w.sum().clamp_min(1)
    words = losses.chunked_cross_entropy(hidden[:, :first].flatten(0, 1), *net.head("text"), target.flatten(), w, 16384)
    return image, words
def short_loss(b):
    h = net.run(net.embed(b["ids"], b["types"]), Places(b["types"], b["positions"], b["rows"], b["cols"]))[:, -b["codes"].shape[1]:].flatten(0, 1)
    return losses.chunked_cross_entropy(h, *net.head("image"), b["codes"].flatten(), b["weight"].flatten(), 16384)

if o.check == "captions":
    rng = np.random.default_rng(int(time.time()))
    for name, shares, f in (("ordinary", ORDINARY, .45), ("short", SHORT, .7)):
        print("==", name)
        for i in draw(shares, 70, rng): c = M.caption(told(i, rng, .05), concepts, rng, f); print(len(tokenizer.encode(c).ids), samples[i].style, [concepts[k].name for k in samples[i].concepts], samples[i].background, samples[i].hue, samples[i].layout, "|", c)
    sys.exit()
if o.check == "same":  # the same loss as the project's own objective, and the same hidden states with the plain bias
    from janus_cli.training.generator import Corpus, GeneratorObjective
    B1, B2 = batch(3); net.zero_grad(); i, w = ordinary_loss(B1); (i + .1 * w).backward(); g1 = {n: p.grad.clone() for n, p in net.named_parameters()}
    net.zero_grad(); s = short_loss(B2); s.backward(); g2 = {n: (torch.zeros_like(p) if p.grad is None else p.grad.clone()) for n, p in net.named_parameters()}
    n = lambda g: math.sqrt(sum(float(v.square().sum()) for v in g.values())); m = lambda g: math.sqrt(sum(float(v.square().sum()) for k, v in g.items() if k.startswith("layers")))
    print("fast", float(i), float(w), float(s), "gradient", n(g1), n(g2), "of the layers", m(g1), m(g2), "cosine", sum(float((g1[k] * g2[k]).sum()) for k in g1) / n(g1) / n(g2))
    attention.RelativeBias.forward = plain_bias
    G = GeneratorObjective.__new__(GeneratorObjective); nn.Module.__init__(G); G.decoder, G.negatives, G.text_weight = net, 0, .1
    net.zero_grad(); l, mm = G(B1); l.backward(); print("plain", {k: float(v) for k, v in mm.items()}, "gradient", n({k: p.grad for k, p in net.named_parameters()}))
    net.zero_grad(); s = short_loss(B2); s.backward(); print("plain short", float(s), n({k: p.grad for k, p in net.named_parameters() if p.grad is not None}))
    b = B2["positions"]; from janus_cli.nets.decoder import positions_of
    print("positions agree", bool((positions_of(B1["types"], None, 1024)[:, :SLOTS + 2] == positions_of(B1["types"], None, 1024)[:, :SLOTS + 2]).all()), bool((positions_of(B2["types"], None, 1024)[:, :SLOTS + 2] == b[:, :SLOTS + 2]).all()))
    sys.exit()

class Steps(torch.utils.data.Dataset):
    def __len__(self): return 10**7
    def __getitem__(self, step): return batch(step)
def init(_): torch.set_num_threads(1)
loader = torch.utils.data.DataLoader(Steps(), batch_size=None, sampler=range(10**7), num_workers=o.workers, prefetch_factor=6 if o.workers else None, worker_init_fn=init if o.workers else None, pin_memory=o.device == "cuda")
stream = iter(loader); current = next(stream); say("loader runs")  # forked before the device is touched
device = torch.device(o.device); net.to(device)

class Muon:
    """The project's Muon, batched over matrices of one shape, in bf16 on a GPU."""
    def __init__(self, params, lr, momentum=0.95):
        self.lr, self.momentum, self.groups = lr, momentum, {}
        for p in params: self.groups.setdefault(tuple(p.shape), []).append(p)
        self.buffers = {s: torch.zeros(len(g), *s, device=device) for s, g in self.groups.items()}
    @torch.no_grad()
    def step(self, factor):
        for shape, group in self.groups.items():
            grad = torch.stack([p.grad for p in group]).float(); buffer = self.buffers[shape]
            buffer.lerp_(grad, 1 - self.momentum); x = grad.lerp(buffer, self.momentum)
            x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
            tall = shape[0] > shape[1]; x = x.mT if tall else x
            if device.type == "cuda": x = x.bfloat16()
            for _ in range(5):
                gram = x @ x.mT; x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
            x = (x.mT if tall else x).float()
            torch._foreach_add_(group, list(x.unbind(0)), alpha=-self.lr * factor * max(1, shape[0] / shape[1]) ** 0.5)
hidden = [p for p in net.layers.parameters() if p.ndim > 1 and min(p.flatten(1).shape) > 16]
ids = {id(p) for p in hidden}; others = [p for p in net.parameters() if id(p) not in ids]; params = list(net.parameters())
muon, adam = Muon(hidden, MUON), _adamw(others, ADAM, weight_decay=0.0)
if o.compile:
    torch._dynamo.config.recompile_limit = 64
    for layer in net.layers: layer.forward = torch.compile(layer.forward, dynamic=False, backend="aot_eager" if o.compile == 2 else "inductor")
def export(mark):
    folder = Path(tempfile.mkdtemp()); weights.save(net, folder / "decoder.safetensors", torch.float16)
    subprocess.run(["split", "-b", "14M", "-d", str(folder / "decoder.safetensors"), str(folder / "part.")], check=True)
    for f in sorted(folder.glob("part.*")): os.replace(shutil.move(f, out / (f.name + ".new")), out / f"decoder.{f.name}")
    shutil.rmtree(folder); (out / "mark").write_text(mark); say("exported", mark)

log = (out / "metrics.jsonl").open("w"); step = 0; start = last = time.time(); phase = 1; began = None; ends = None; told_at = 0.0; saved = start
seconds = 1e9; factor = 0.0; waited = 0.0; top = 1.0
try:
    while step < o.max_steps:
        if step == 8:
            if device.type == "cuda": torch.cuda.synchronize()
            began = start = last = saved = time.time(); seconds = max(20.0, o.deadline - (began - T00)); say("eight steps; a schedule of", round(seconds), "s")
        now = time.time(); share = (now - start) / seconds if began else 0.0
        if phase == 1:
            if share >= 1:
                say("phase 1 ends", step, "steps", f"{(now-began)/(step-8)*1000:.1f} ms/step"); export("phase1"); (out / "phase1.done").write_text(json.dumps({"steps": step, "rows": o.rows, "short": o.short, "seconds": round(now - began)}))
                phase, start, turn = 2, time.time(), step
                if o.wait <= 0: break
                continue
            factor = min(1.0, max(1, step - 7) / o.warmup) * (1.0 if share < o.constant else (1 - share) / (1 - o.constant))
        else:
            if ends is None and (out / "go").exists():
                left = float((out / "go").read_text()); begin2 = now; ends = now + left; say("phase 2 goes on for", left, "s", step)
            if ends is None and now - start > o.wait: say("nobody says go on"); break
            if ends is not None and now >= ends:
                say("phase 2 ends", step); export("phase2"); (out / "phase2.done").write_text(json.dumps({"steps": step, "of phase 2": step - turn, "seconds": round(now - start)})); break
            factor = o.again * min(1.0, (step - turn + 1) / 50) * (1.0 if ends is None else max(0.0, (ends - now) / (ends - begin2)))
        one, two = ({k: v.to(device, non_blocking=True) for k, v in b.items()} for b in current)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            image, words = ordinary_loss(one); name = short_loss(two)
        (image + TEXT * words + o.beta * name).backward()
        nn.utils.clip_grad_norm_(params, 1.0, foreach=True)
        f = o.peak * factor
        for g in adam.param_groups: g["lr"] = ADAM * f
        muon.step(f); adam.step()
        for p in params: p.grad = None
        step += 1
        if step % 50 == 0 or (device.type == "cpu" and step % 2 == 0):
            values = {"image": float(image.detach()), "text": float(words.detach()), "short": float(name.detach())}; t = time.time()
            log.write(json.dumps({"step": step, "phase": phase, "seconds": round(t - (began or start), 1), "factor": round(f, 4), **values}) + "\n"); log.flush()
            if not all(math.isfinite(v) for v in values.values()): say("not finite", values); break
            if t - last > 15: say(step, f"{(t-(began or start))/max(1,step-8)*1000:.1f} ms/step", {k: round(v, 4) for k, v in values.items()}, f"factor {f:.3f}", phase); last = t
        if phase == 1 and time.time() - saved > 150: export(f"step{step}"); saved = time.time()
        fetch = time.time(); current = next(stream); waited += time.time() - fetch
finally:
    say("waited for rows", round(waited, 1), "s;", step, "steps")
    if device.type == "cuda": say("peak GiB", round(torch.cuda.max_memory_allocated() / 2**30, 1))
    (out / "ended").write_text("x"); log.close(); sys.stdout.flush()
    if o.device == "cuda": os._exit(0)
