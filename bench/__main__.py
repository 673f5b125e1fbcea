"""`python -m bench NAME [OPTIONS]`: run one benchmark and write bench/results/NAME.{json,md}."""

import importlib
import sys

BENCHMARKS = {
    "autodiff": "one training step of the NumPy engine against eager PyTorch, by batch size",
    "loop-overhead": "the loop against a bare PyTorch loop",
    "quality": "accuracy on real data against peers, several seeds, paired intervals",
    "estimators": "the classical estimators against scikit-learn, scikit-learn-intelex, faiss; --sweep for growth",
    "forecasting": "forecasts of real series at rolling origins against ETS, Theta and MSTL of statsforecast",
    "inference": "ResNet-18 and EfficientNet-Lite0 answering pictures, against onnxruntime in float32 and int8",
    "language-model": "training, generation, tokenising and n-grams against a plain loop and transformers",
    "language-race": "bits per character of a text file in equal time: ours, n-grams, nanoGPT's loop, xz",
    "loading": "decoding folders of JPEG and PNG, and augmenting, against torch's DataLoader with PIL",
    "recurrent": "LSTM language model, written cells against fused, buckets against padding; growth",
    "series": "series classified against aeon and dynamic time warping; --sweep: transforms by length and rows",
    "time-to-accuracy": "seconds to 90 and 92 % on Fashion-MNIST against the Keras and PyTorch tutorials",
    "table-growth": "seconds and peak memory of a whole fit by rows of a table, beside lightgbm alone",
    "tagging": "sentences tagged against CRFsuite with the usual features; growth with sentences",
    "text-encoder": "MiniLM reading texts against transformers; what it is worth on glosses and emoji",
    "vision-growth": "one training step against picture size, batch and depth, beside plain loops of PyTorch",
    "vision": "LeNet-5 and a small ResNet on Fashion-MNIST against PyTorch, Lightning, Keras, skorch",
}


def main() -> int:
    """Run the named benchmark."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in BENCHMARKS:
        print("usage: python -m bench NAME [OPTIONS]\n")
        for key, text in BENCHMARKS.items():
            print(f"  {key:16s} {text}")
        return 0 if name in ("", "-h", "--help") else 2
    importlib.import_module(f"bench.{name.replace('-', '_')}").main(sys.argv[2:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
