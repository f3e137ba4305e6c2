"""Reads the JSON of `culatent devices` and says in words what was built and found."""

import json
import sys

found = json.load(sys.stdin)
print("Backends built:", " and ".join(found["backends"].split()) +
      ("" if "cuda" in found["backends"] else " only (no nvcc found, or CULATENT_CUDA=OFF)"))
for device in found["devices"]:
    why = "" if device["available"] else f" - not usable: {device['reason']}"
    print(f"Device {device['name']}: {device['text']}{why}")
