"""How balanced, independent and compact the database's codes are."""

from pipeline.report.rows import records
from pipeline.report.source import Source, measured
from pipeline.report.tables.captions import split_caption
from pipeline.report.tables.comparison import star_caption
from pipeline.report.tables.model import Column, Table
from pipeline.report.tables.values import key_columns, keys, starred

HINTS = {
    "bit_imbalance": "mean over bits of |mean of the bit|; 0 where each is +1 as often as -1",
    "bit_correlation": "mean over pairs of bits of |correlation|; bits that never change are left out",
    "dead_bits": "bits with one value in all codes",
    "code_entropy": "entropy of the distribution of codes, in bits",
    "distinct_codes": "different codes in the database",
    "collision_rate": "share of pairs of images that have the same code",
    "quantization_error": "mean of ||u| - 1| over raw outputs u",
}


def balance(source: Source) -> Table:
    """One row per (method, quantizer, bits): how balanced, independent and compact the database's codes are."""
    names = measured(source.balance)
    columns = [*key_columns(), *(Column(name.replace("_", " "), hint=HINTS.get(name, "")) for name in names)]
    rows = [[*keys(row), *(starred(row, name, source) for name in names)] for row in records(source.balance)]
    caption = [
        "Codes of the database; mean ± standard deviation over seeds.",
        "Uniform codes have imbalance and correlation 0; codes that retrieve well follow the classes and can't.",
        *split_caption(source),
        *star_caption(source),
    ]
    return Table("balance", "Code balance", caption, columns, rows)
