#!/bin/sh
# Hold our BERT, rotary positions and WordPiece against transformers', weight for weight.
#   scripts/parity_transformers.sh            compare
#   scripts/parity_transformers.sh --record   compare, and write tests/models/golden/bert.json
# transformers lies in a folder of its own (build/parity-transformers), searched after this environment's packages.
# PYTHON names the interpreter that has gradatim, default python. MiniLM is compared where its weights are cached
# (gradatim weights get all-minilm-l6-v2).
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
folder=build/parity-transformers
if ! "$python" -c "import transformers" 2>/dev/null && [ ! -d "$folder/transformers" ]; then
    "$python" -m pip install --quiet --target "$folder" transformers==5.23.0
fi
"$python" scripts/parity_transformers.py --reference "$folder" "$@"
