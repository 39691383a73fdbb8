"""Size → parts. Pure arithmetic; each bound stands beside its reason."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COPIES_AT_ONCE", "GIB", "IN_FLIGHT", "MIB", "PartPlan", "PartRange", "cut"]

MIB = 1 << 20
GIB = 1 << 30

# S3's connections give 40 to 80 MB/s each; eight hide the latency, and more cost memory, not CPU.
IN_FLIGHT = 8

# Parts that S3 copies at once on our word. No byte passes through us, but a thread and a connection
# wait for each answer: some 110 KiB, 14 MiB in all, which the smallest function (128 MB) has beside
# the rest (docs/decisions/2026-11-26-server-side-as-fast-as-s3-allows.md). S3 itself takes 3,500
# copies a second and prefix (AWS, "Optimizing Amazon S3 performance").
COPIES_AT_ONCE = 128

_MAX_PARTS = 10_000  # S3's limit
_NO_LIMIT = float("inf")


@dataclass(frozen=True, slots=True)
class PartRange:
    """One part: its number (from 1) and the bytes that it covers."""

    number: int
    start: int
    size_bytes: int

    @property
    def end(self) -> int:
        """The last byte's offset, as Range headers count."""
        return self.start + self.size_bytes - 1


@dataclass(frozen=True, slots=True)
class PartPlan:
    """How exports are cut; only measurements and simulations ask for other sizes."""

    # What fits one PUT. It is held in memory, so that the checksum can go into the header, which
    # every store understands; beyond it memory does not grow.
    single_put_bytes: int = 16 * MIB
    small_part_bytes: int = 16 * MIB
    # A PUT costs as much as two seconds of 192 MB: the fewer, the cheaper. What bounds a part is
    # that it must fit into a run of 900 s on the slowest network (below), and what is lost where
    # one breaks off. A TiB in PUTs costs $0.03, in parts of 64 MiB $0.09 (docs/costs.md).
    large_part_bytes: int = 256 * MIB
    # So many share the network where the export is not larger. Two connections could carry all that
    # AWS gives a function, four surely do; up to 1 GiB more of them bring nothing but their price.
    fewest_parts: int = 4
    # Smaller ones are hardly faster (awslabs/aws-c-s3 #288: 10 GiB take 5.8 s in parts of 64 MiB,
    # 4.8 s of 128, 11.5 s of 512), and cost more requests.
    server_side_part_bytes: int = 128 * MIB
    least_part_bytes: int = 5 * MIB  # S3's own, for all parts but the last
    unit_bytes: int = MIB  # sizes that are not the usual ones are whole MiB
    # The slowest network on which a part is still meant to fit into a run: a 256 MiB part takes 537
    # s there, so that functions of 816 s and more keep to the usual sizes.
    slowest_bytes_per_second: int = 500_000

    def fits_one_put(self, size_bytes: int, seconds: float) -> bool:
        """Tell whether an export is archived by one PUT in a run that has so many seconds.

        It is read first and written then, and neither can be resumed by another run. Up to 1
        MiB there is nothing to gain by parts.
        """
        in_time = int(seconds * self.slowest_bytes_per_second / 2)
        return size_bytes <= min(self.single_put_bytes, max(self.unit_bytes, in_time))

    def part_size(
        self, size_bytes: int, seconds: float = _NO_LIMIT, room_bytes: float = _NO_LIMIT
    ) -> int:
        """Return the size of a streaming copy's parts; at most 10,000, for up to S3's 48.8 TiB.

        A part is meant to fit into a run of so many seconds on the slowest network, and into the
        room in memory where it is sent from there. Both give way to S3's limits.
        """
        share = self._whole_units(-(-size_bytes // self.fewest_parts))
        usual = min(self.large_part_bytes, max(self.small_part_bytes, share))
        most = min(seconds * self.slowest_bytes_per_second, room_bytes)
        if usual > most:
            usual = max(self.least_part_bytes, int(most) // self.unit_bytes * self.unit_bytes)
        return self._enough(size_bytes, usual)

    def server_side_part_size(self, size_bytes: int, most_bytes: int = GIB) -> int:
        """Return the size of a server-side copy's parts; at most 10,000, as above.

        All of them at once where that can be, for each part costs some seconds whatever its size;
        but none above `most_bytes`, which 10,000 parts alone exceed: that much is lost with one.
        """
        at_once = -(-size_bytes // COPIES_AT_ONCE)
        return self._enough(size_bytes, max(self.server_side_part_bytes, min(at_once, most_bytes)))

    def _enough(self, size_bytes: int, usual_bytes: int) -> int:
        return self._whole_units(max(usual_bytes, -(-size_bytes // _MAX_PARTS)))

    def _whole_units(self, size_bytes: int) -> int:
        return -(-size_bytes // self.unit_bytes) * self.unit_bytes


def cut(size_bytes: int, part_bytes: int) -> list[PartRange]:
    """Return the parts of this size that cover an object; the last may be smaller."""
    return [
        PartRange(index + 1, start, min(part_bytes, size_bytes - start))
        for index, start in enumerate(range(0, size_bytes, part_bytes))
    ]
