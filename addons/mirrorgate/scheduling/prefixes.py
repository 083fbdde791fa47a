"""Which endpoint has which beginnings of prompts in its KV cache, guessed from what was sent where.

A server with prefix caching skips the part of a prompt that it has computed before. The index cuts a prompt into
blocks, chains their hashes so that a hash stands for everything up to its block, and remembers for each endpoint the
hashes of what it was sent (Inference Extension v1.3, `plugins/multi/prefix`):

    h[-1] = xxh64(model || salt)        h[i] = xxh64(block[i] || le64(h[i-1]))

Different on purpose from v1.3:

- only an unbroken run from the first block counts as a match, as in the servers' own caches; upstream gives a point
  for later blocks too;
- an endpoint's oldest chains lose their ends first, as in vLLM, so that what is left can still be matched;
- the index is bounded as a whole, not only by endpoint.

An endpoint is a bit, and a hash's holders are one integer: matching is one lookup and one AND a block, whatever the
number of endpoints.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence

from xxhash import xxh64_intdigest

from .endpoints import Load

__all__ = ["PrefixIndex", "cache_blocks", "hash_chain"]

BLOCK_BYTES = 64
"""Block size without autotuning: 16 tokens of about 4 bytes."""
BYTES_PER_TOKEN = 4
BLOCK_TOKENS = range(16, 2_049)
"""What a reported block size is brought into: SGLang's page of 1 would use the 256 blocks up on a kilobyte."""
MAX_BLOCKS = 256
"""Blocks of a prompt that are looked at."""
CAPACITY = 31_250
"""Blocks remembered for an endpoint: 500,000 tokens' worth at 16 a block, as upstream's default."""
MAX_TOTAL = 500_000
"""Blocks remembered in all; 190 MB when those of 1,000 endpoints are all different (measured)."""
_SWEEP = 1_024
"""Blocks of departed endpoints that are forgotten with each `observe`, so that a departure never costs much at once."""


def hash_chain(
    model: str, prompt: bytes, *, salt: bytes = b"", block_bytes: int = BLOCK_BYTES, max_blocks: int = MAX_BLOCKS
) -> list[int]:
    """Hash a prompt's leading blocks; a tail shorter than a block is left out, a prompt shorter than one gives none."""
    blocks = min(len(prompt) // block_bytes, max_blocks)
    if not blocks:
        return []
    link = xxh64_intdigest(model.encode("utf-8", "surrogatepass") + salt)
    chain: list[int] = []
    for start in range(0, blocks * block_bytes, block_bytes):
        link = xxh64_intdigest(prompt[start : start + block_bytes] + link.to_bytes(8, "little"))
        chain.append(link)
    return chain


def _block_tokens(reported: int) -> int:
    return min(max(reported, BLOCK_TOKENS.start), BLOCK_TOKENS.stop - 1)


def cache_blocks(load: Load | None) -> int | None:
    """Tell how many of the index's blocks fit into a server's KV cache; `None` when the server does not say."""
    if load is None or not load.num_blocks or not load.block_size:
        return None
    return max(1, load.num_blocks * load.block_size // _block_tokens(load.block_size))


class PrefixIndex:
    """The memory of one destination's prefixes. Every operation is bounded by `MAX_BLOCKS` and the cluster's size."""

    def __init__(
        self,
        *,
        autotune: bool = True,
        block_bytes: int = BLOCK_BYTES,
        capacity: int = CAPACITY,
        max_total: int = MAX_TOTAL,
        max_blocks: int = MAX_BLOCKS,
    ) -> None:
        """Make an empty index.

        With *autotune* the block is of the size that candidates report, and an endpoint remembers no more blocks
        than its cache has.
        """
        self.autotune = autotune
        self._block_bytes = block_bytes
        self._capacity = capacity
        self._max_total = max_total
        self._max_blocks = max_blocks
        self._total = 0
        self._holders: dict[int, int] = {}
        self._bits: dict[str, int] = {}
        self._recent: dict[str, OrderedDict[int, None]] = {}
        self._departed: deque[tuple[int, OrderedDict[int, None]]] = deque()
        self._free_bits: list[int] = []
        self._next_bit = 0

    def __len__(self) -> int:
        """Count the remembered blocks, each once for every endpoint that has it."""
        return self._total

    @property
    def endpoints(self) -> frozenset[str]:
        return frozenset(self._bits)

    def chain(self, model: str | None, prompt: bytes, salt: bytes, block_size: int) -> list[int]:
        """Hash a prompt with the block size in tokens that the candidates report, 0 for none."""
        size = self._block_bytes
        if self.autotune and block_size:
            size = _block_tokens(block_size) * BYTES_PER_TOKEN
        return hash_chain(model or "", prompt, salt=salt, block_bytes=size, max_blocks=self._max_blocks)

    def match(self, hashes: Sequence[int]) -> Mapping[str, int]:
        """Count for each endpoint the leading blocks that it holds; endpoints that hold none are left out."""
        bits = self._bits
        if not hashes or not bits:
            return {}
        holders = self._holders
        # The first block's holders may include departed endpoints, whose bits no key has any more.
        held = holders.get(hashes[0], 0)
        runs: list[tuple[int, int]] = []
        length = 0
        for length, block in enumerate(hashes):
            still = held & holders.get(block, 0)
            if still != held:
                runs.append((length, held & ~still))
                held = still
                if not held:
                    break
        else:
            runs.append((length + 1, held))
        lengths = [(run, gone) for run, gone in runs if run and gone]
        if not lengths:
            return {}
        matched: dict[str, int] = {}
        for key, bit in bits.items():
            for run, gone in lengths:
                if gone & bit:
                    matched[key] = run
                    break
        return matched

    def observe(self, endpoint: str, hashes: Sequence[int], cache: int | None = None) -> None:
        """Remember that a prompt was sent to an endpoint, whose cache holds *cache* blocks (`None`: unknown)."""
        self._sweep()
        if not hashes:
            return
        recent = self._recent.get(endpoint)
        if recent is None:
            recent = self._recent[endpoint] = OrderedDict()
            self._bits[endpoint] = self._new_bit()
        bit = self._bits[endpoint]
        holders = self._holders
        # From the end to the beginning: what is evicted first is then the end of the oldest chain.
        for block in reversed(hashes):
            if block in recent:
                recent.move_to_end(block)
            else:
                recent[block] = None
                holders[block] = holders.get(block, 0) | bit
                self._total += 1
        capacity = self._capacity
        if self.autotune and cache is not None:
            capacity = min(capacity, cache)
        if len(recent) > capacity:
            self._evict(recent, bit, len(recent) - capacity)
        self._bound()

    def retain(self, endpoints: Iterable[str]) -> None:
        """Forget every endpoint that is not among *endpoints*."""
        staying = frozenset(endpoints)
        for key in [key for key in self._bits if key not in staying]:
            self._departed.append((self._bits.pop(key), self._recent.pop(key)))

    def _new_bit(self) -> int:
        if self._free_bits:
            return self._free_bits.pop()
        self._next_bit += 1
        return 1 << (self._next_bit - 1)

    def _evict(self, recent: OrderedDict[int, None], bit: int, number: int) -> None:
        holders = self._holders
        for _ in range(number):
            block, _nothing = recent.popitem(last=False)
            left = holders[block] & ~bit
            if left:
                holders[block] = left
            else:
                del holders[block]
        self._total -= number

    def _bound(self) -> None:
        """Bring the index back under its total at the cost of departed endpoints, then of whoever holds most."""
        while self._total > self._max_total:
            if self._departed:
                bit, recent = self._departed[0]
            else:
                key = max(self._recent, key=lambda name: len(self._recent[name]))
                bit, recent = self._bits[key], self._recent[key]
            self._evict(recent, bit, min(self._total - self._max_total, len(recent)))
            self._drop_swept()

    def _sweep(self) -> None:
        """Forget some blocks of departed endpoints."""
        if self._departed:
            bit, recent = self._departed[0]
            self._evict(recent, bit, min(_SWEEP, len(recent)))
            self._drop_swept()

    def _drop_swept(self) -> None:
        """Free the bits of departed endpoints of which nothing is remembered any more."""
        while self._departed and not self._departed[0][1]:
            bit, _ = self._departed.popleft()
            self._free_bits.append(bit)
