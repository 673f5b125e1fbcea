"""A translator as a member: tokens, network, beam search, and what is done about words that it never saw."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gradatim.data.placeholders import MARKERS, restore
from gradatim.device import Placement, autocast
from gradatim.errors import ArtifactError
from gradatim.estimators.alignment import WORDS
from gradatim.models.outline import whole
from gradatim.nn.beam_search import NEVER, Decoded, beam_search, length_factor, top_stable
from gradatim.tasks.rebuilt import placed_here, rebuilt
from gradatim.tasks.source import Source
from gradatim.tasks.translation_batches import padded
from gradatim.tasks.translation_members import answered, texts_of
from gradatim.tasks.translation_tokens import BOUNDARY, PADDING, Encoded, PairTokens, is_known

NETWORKS = {
    "attention": "gradatim.models.sequence.attention_translator.attention_translator",
    "transformer": "gradatim.models.sequence.transformer_translator.transformer_translator",
}
ANSWER_TOKENS = 4096  # of source and beams together, in one batch
MOST_BEAMS = 64
SPARE = 16  # tokens beyond twice the source's that a translation may have


@dataclass(frozen=True, slots=True)
class TranslatorMember:
    """A network that writes by beam search.

    blueprint: its address and JSON arguments; copying: words that training never showed on either side are replaced by
    the source word that the attention was on (Luong et al. 2015, Jean et al. 2015); known_source, known_target: digests
    of the words that training showed.
    """

    column: str
    tokens: PairTokens
    blueprint: dict[str, Any]
    network: nn.Module
    placement: Placement
    beams: int
    length_penalty: float
    copying: bool
    known_source: np.ndarray
    known_target: np.ndarray

    @property
    def columns(self) -> tuple[str, ...]:
        """The column it looks at."""
        return (self.column,)

    def answer(self, source: Source) -> np.ndarray:
        """Texts, object (N,); those that were not read or not written to their end are listed as problems."""
        encoded = self.tokens.all_sources(texts_of(source, self.column))
        written, unfinished = self._write(encoded, [self.length_penalty])
        for row, one in enumerate(encoded):
            if one.cut or row in unfinished:
                said = (f"was read up to {self.tokens.source_length} tokens; its end is not translated" if one.cut else
                        "has a translation that was cut at its length limit")
                source.problems.add("text-cut", f"the text {said}", column=self.column, row=row,
                                    line=source.table.line(row))
        return answered(written[0])

    def write(self, texts: Sequence[str]) -> list[str]:
        """The texts translated, those of like length together; an empty text stays empty."""
        return self.write_by_penalty(texts, [self.length_penalty])[0]

    def write_by_penalty(self, texts: Sequence[str], penalties: Sequence[float]) -> list[list[str]]:
        """What each of some length penalties picks from the beams of one search, which is under this member's own."""
        return self._write(self.tokens.all_sources(texts), penalties)[0]

    def _write(self, encoded: list[Encoded], penalties: Sequence[float]) -> tuple[list[list[str]], set[int]]:
        """The same for encoded texts, and the places of those whose beams all reached the length limit."""
        order = sorted((len(one.ids), place) for place, one in enumerate(encoded) if len(one.ids))
        written, unfinished = [[""] * len(encoded) for _ in penalties], set[int]()
        self.network.eval()
        for places in _portions(order, self.beams):
            batch = [encoded[place] for place in places]
            decoded = self._search(batch)
            ended = decoded.ended.any(dim=1).tolist()
            unfinished.update(place for place, done in zip(places, ended) if not done)
            for number, penalty in enumerate(penalties):
                ids = picked(decoded, penalty)
                found = [self.tokens.text(row, one.literals) for row, one in zip(ids, batch)]
                if self.copying:
                    found = self._with_copies(batch, ids, found)
                for place, text in zip(places, found):
                    written[number][place] = text
        return written, unfinished

    @torch.inference_mode()
    def _search(self, batch: list[Encoded]) -> Decoded:
        network: Any = self.network
        ids, lengths = padded([one.ids for one in batch])
        device = self.placement.device
        longest = min(2 * ids.shape[1] + SPARE, self.tokens.target_length)

        def step(tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
            logits, state = network.step(tokens, state)
            logits[:, PADDING] = NEVER
            return logits, state

        with autocast(self.placement):
            state = network.read(ids.to(device), lengths.to(device), longest)
            first = torch.full((len(batch),), BOUNDARY, device=device)
            return beam_search(step, state, first, end=BOUNDARY, longest=longest, beams=self.beams, best=self.beams,
                               length_penalty=self.length_penalty, reorder=network.reorder)

    @torch.inference_mode()
    def align(self, batch: list[Encoded], written: list[list[int]]) -> list[np.ndarray]:
        """The attention of each written token on each source token, float32 (written, source) a text."""
        network: Any = self.network
        network.eval()
        ids, lengths = padded([one.ids for one in batch])
        before, _ = padded([np.array([BOUNDARY, *row[:-1]] if row else [BOUNDARY], np.int64) for row in written])
        device = self.placement.device
        with autocast(self.placement):
            weights = network.align(ids.to(device), lengths.to(device), before.to(device)).float().cpu().numpy()
        return [weights[place, : len(row), : len(one.ids)]
                for place, (row, one) in enumerate(zip(written, batch))]

    def write_copies(self, texts: Sequence[str], written: Sequence[str]) -> list[str]:
        """What this member would have written, given the same without copies: only the copies are put in."""
        batch = [self.tokens.source(text) for text in texts]
        ids = [self.tokens.target(text, one.literals)[0].tolist() for text, one in zip(written, batch)]
        found = list(written)
        order = sorted((len(one.ids), place) for place, one in enumerate(batch) if len(one.ids))
        for places in _portions(order, 1):
            part = self._with_copies([batch[p] for p in places], [ids[p] for p in places], [found[p] for p in places])
            for place, text in zip(places, part):
                found[place] = text
        return found

    def _with_copies(self, batch: list[Encoded], ids: list[list[int]], found: list[str]) -> list[str]:
        """The texts with the copies put in, where a source word was never seen in training."""
        unseen = [self._unseen(self.tokens.marked(one.ids), self.known_source) for one in batch]
        places = [place for place, words in enumerate(unseen) if words and ids[place]]
        if not places:
            return found
        looked = self.align([batch[place] for place in places], [ids[place] for place in places])
        for place, weights in zip(places, looked):
            found[place] = self._copied(batch[place], ids[place], weights, unseen[place])
        return found

    def _unseen(self, text: str, known: np.ndarray) -> list[tuple[int, int, str]]:
        """Start, end and spelling of the words in a text that are not known."""
        return [(match.start(), match.end(), match.group()) for match in WORDS.finditer(text)
                if match.group()[0].isalnum() and not is_known(match.group(), known)]

    def _copied(
        self, source: Encoded, ids: list[int], weights: np.ndarray, unseen: list[tuple[int, int, str]]
    ) -> str:
        """One text, in which each made-up word becomes the unseen source word that it looked at most."""
        marked = self.tokens.marked(ids)
        strange = self._unseen(marked, self.known_target)
        if not strange:
            return restore(marked, source.literals)
        of_source, of_target = self._spans(source.ids), self._spans(ids)
        whole, parts, end = self.tokens.marked(source.ids), [], 0
        words = [(match.start(), match.end(), match.group()) for match in WORDS.finditer(whole)]
        for start, stop, word in strange:
            rows = [place for place, (low, high) in enumerate(of_target) if low < stop and high > start]
            mass = weights[rows].sum(axis=0)
            shares = [sum(mass[place] for place, (low, high) in enumerate(of_source) if low < b and high > a)
                      for a, b, _ in words]
            best = words[int(np.argmax(shares))] if words else (0, 0, "")
            copied = best[2] if best in unseen and word not in whole else word
            parts += [marked[end:start], copied]
            end = stop
        return restore("".join([*parts, marked[end:]]), source.literals)

    def _spans(self, ids: Sequence[int] | np.ndarray) -> list[tuple[int, int]]:
        """Which characters of the marked text each token wrote."""
        pieces = self.tokens.pieces(ids, MARKERS)
        ends = np.cumsum([len(piece) for piece in pieces]).tolist()
        return list(zip([0, *ends[:-1]], ends))

    def to_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON state and arrays."""
        state = {
            "member": "translator", "column": self.column, "tokens": self.tokens.to_json(),
            "blueprint": self.blueprint, "placement": self.placement.to_json(), "beams": self.beams,
            "length_penalty": self.length_penalty, "copying": self.copying,
        }
        arrays = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        return state, {**arrays, "known.source": self.known_source, "known.target": self.known_target}

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], Tensor], task: Any
    ) -> "TranslatorMember":
        """Build the translator again, see `rebuilt`; it must be one over these tokens."""
        tokens = PairTokens.from_json(state["tokens"])
        blueprint = dict(state["blueprint"])
        _check_blueprint(blueprint, tokens)
        own = {name.removeprefix("network."): shape for name, shape in shapes.items() if name.startswith("network.")}
        beams, penalty = int(state["beams"]), float(state["length_penalty"])
        if not 1 <= beams <= MOST_BEAMS or not -10 <= penalty <= 10:
            raise ArtifactError(f"expected 1 to {MOST_BEAMS} beams and a length penalty from -10 to 10")
        network = rebuilt(blueprint, own, lambda name: read(f"network.{name}"))
        placement = placed_here(Placement.from_json(state["placement"]))
        source, target = (np.sort(whole(side, read(f"known.{side}")).ravel()) for side in ("source", "target"))
        return cls(str(state["column"]), tokens, blueprint, network.to(placement.device).eval(), placement, beams,
                   penalty, bool(state["copying"]), source, target)


def picked(decoded: Decoded, penalty: float) -> list[list[int]]:
    """The best sequence of each row under a length penalty, ended ones before others, without <EOS>."""
    score = decoded.log_probability / length_factor(decoded.lengths.double(), penalty)
    score = score.where(decoded.ended, score - 1e6)
    best = top_stable(score, 1)[1][:, 0]
    rows = torch.arange(len(best), device=best.device)
    lengths = (decoded.lengths - decoded.ended.long())[rows, best].tolist()
    return [row[:length] for row, length in zip(decoded.ids[rows, best].tolist(), lengths)]


def blueprint_of(name: str, tokens: PairTokens, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Address and JSON arguments of a translator over these tokens."""
    sizes: dict[str, Any] = {"num_classes": len(tokens), "vocabulary": len(tokens)}
    if name == "transformer":
        sizes["max_length"] = max(tokens.source_length, tokens.target_length) + 1
    return {"address": NETWORKS[name], "arguments": {**sizes, **arguments}}


def _check_blueprint(blueprint: Mapping[str, Any], tokens: PairTokens) -> None:
    """Refuse what is no translator, or one of another vocabulary: ids would lead out of its tables."""
    arguments = blueprint.get("arguments")
    if blueprint.get("address") not in NETWORKS.values() or not isinstance(arguments, Mapping):
        raise ArtifactError(f"expected a translator among {', '.join(NETWORKS.values())}, found "
                            f"{blueprint.get('address')!r:.100}")
    if arguments.get("num_classes") != len(tokens) or arguments.get("vocabulary") != len(tokens):
        raise ArtifactError(f"expected a translator of {len(tokens)} tokens, found one of another number")
    longest = max(tokens.source_length, tokens.target_length) + 1
    if blueprint["address"] == NETWORKS["transformer"] and arguments.get("max_length") != longest:
        raise ArtifactError(f"expected a translator of texts of {longest} tokens, found another")


def _portions(order: list[tuple[int, int]], beams: int) -> list[list[int]]:
    """Places, by rising length, in batches of at most ANSWER_TOKENS tokens over all beams."""
    portions: list[list[int]] = []
    for length, place in order:
        if portions and (len(portions[-1]) + 1) * max(length, 8) * beams <= ANSWER_TOKENS:
            portions[-1].append(place)
        else:
            portions.append([place])
    return portions
