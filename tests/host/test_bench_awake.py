"""A wake without radio (bench/bench_awake.py): what it loads, what it writes, and that
tools/board/energy.json and docs/battery.md say so."""
