#!/bin/sh
# Hold our networks for pictures against torchvision's (and timm's, where torchvision has none), weight for weight.
#   scripts/parity_torchvision.sh            compare
#   scripts/parity_torchvision.sh --record   compare, and write tests/models/golden/vision.json
# Both packages lie in a folder of their own (build/parity): only their Python is used, beside this environment's torch.
# PYTHON names the interpreter that has gradatim, default python.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
folder=build/parity
if [ ! -d "$folder/torchvision" ] || [ ! -d "$folder/timm" ]; then
    "$python" -m pip install --quiet --no-deps --target "$folder" torchvision==0.28.0 timm==1.0.31
fi
"$python" scripts/parity_torchvision.py --reference "$folder" "$@"
