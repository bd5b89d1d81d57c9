#!/bin/sh
# Counts anew what a step asks of its device, and writes census.json: make_census.sh BUILD_FOLDER
set -eu
folder=$(cd "$(dirname "$0")" && pwd)
lines=$(mktemp)
SGRPO_CENSUS_OUT=$lines "$1/tests/test_learner" --gtest_filter='*Census*' --gtest_brief=1
python3 - "$lines" "$folder/census.json" <<'PYTHON'
import json, sys

census = {}
for line in open(sys.argv[1]):
    census.update(json.loads(line))
with open(sys.argv[2], "w") as out:
    out.write("{\n")
    for i, (name, pieces) in enumerate(sorted(census.items())):
        out.write("%s %s: {\n" % ("" if i == 0 else ",\n", json.dumps(name)))
        out.write(",\n".join("  %s: %s" % (json.dumps(k), json.dumps(v)) for k, v in pieces.items()))
        out.write("}")
    out.write("\n}\n")
PYTHON
rm "$lines"
