"""From samples to rows: medians, spread, ratio, verdict; as a table and as JSON."""
import json
import os
import platform
import statistics
import subprocess
import time


def figure(row, samples, judge):
    """One row of the result, as it stands in the JSON too; judge: compare it with its goal."""
    ours, theirs = samples["hawser"], samples["openssh"]
    ratio = statistics.median(ours) / statistics.median(theirs)
    met = row.met(ratio) if judge else None
    return {
        "name": row.name, "what": row.what, "unit": row.unit,
        "less_is_better": row.less_is_better,
        "hawser": {"median": statistics.median(ours), "samples": ours},
        "openssh": {"median": statistics.median(theirs), "samples": theirs},
        "ratio": ratio, "goal": row.goal,
        "verdict": "" if met is None else "ok" if met else "MISSED",
    }


def _number(value):
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _spread(samples):
    return f"{_number(min(samples))}..{_number(max(samples))}"


HEADER = (f"{'benchmark':<20} {'hawser':>8} {'(min..max)':<14} {'openssh':>8} {'(min..max)':<14} "
          f"{'unit':<5} {'ratio':>6} {'goal':>7}")


def line(fig):
    goal = ""
    if fig["goal"] is not None:
        goal = ("<= " if fig["less_is_better"] else ">= ") + f"{fig['goal']:.2f}"
    ours, theirs = fig["hawser"], fig["openssh"]
    return (f"{fig['name']:<20} {_number(ours['median']):>8} {_spread(ours['samples']):<14} "
            f"{_number(theirs['median']):>8} {_spread(theirs['samples']):<14} {fig['unit']:<5} "
            f"{fig['ratio']:>6.3f} {goal:>7} {fig['verdict']}").rstrip()


def _first_line(argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "unknown"
    return ((done.stdout or done.stderr).strip().splitlines() or ["unknown"])[0]


def _cpu():
    with open("/proc/cpuinfo") as info:
        names = [text.partition(":")[2].strip() for text in info if text.startswith("model name")]
    return f"{len(os.sched_getaffinity(0))} x {names[0] if names else platform.machine()}"


def machine(plan):
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kernel": f"{platform.system()} {platform.release()}",
        "cpu": _cpu(),
        "openssh": _first_line(["ssh", "-V"]),
        "rounds": plan.rounds, "quick": plan.quick, "against_itself": plan.against_itself,
        "load_before": os.getloadavg()[0],
    }


def save(path, meta, figures):
    with open(path, "w") as out:
        json.dump({"meta": meta, "rows": figures}, out, indent=1)
        out.write("\n")
