"""A migration with one of each operation, and what it is tried on."""

from pathlib import Path

from models.labels import LabelSchema
from models.migration.file import read_migration
from models.migration.moves import Migration

DELIVERY, LATE = "customer_service/delivery_returns", "shipping/late"
SPEED, QUALITY = "product/performance", "product/quality"
TRUST, PRIVACY, ETHICS = "brand_loyalty/trust", "trust/privacy", "trust/ethics"
STAFF, RESOLUTION = "customer_service/staff", "customer_service/resolution"
PRICING = "marketing_sales/pricing"

EACH = f"""
[[rename]]
task = "category"
from = "{DELIVERY}"
to = "{LATE}"
title = "Late"

[[merge]]
task = "category"
from = ["{QUALITY}", "{SPEED}"]
to = "{QUALITY}"

[[split]]
task = "category"
from = "{TRUST}"
into = [{{ key = "{PRIVACY}", title = "Privacy", description = "What happens with data." }}, "{ETHICS}"]

[[retire]]
task = "category"
label = "{STAFF}"
to = "{RESOLUTION}"

[families.category]
shipping = "Shipping"
"""


def migration_of(folder: Path, text: str = EACH, schema: LabelSchema | None = None) -> Migration:
    """The migration of a text, of the shipped schema unless another is given."""
    path = folder / "migration.toml"
    path.write_text(text, encoding="utf-8")
    return read_migration(path, schema or LabelSchema.load())
