"""Where things lie unless a setting or an option says otherwise; apart from the settings, which take time to import."""

from pathlib import Path

#: The model in service.
CURRENT_MODEL = Path("artifacts/current")
