"""Reports as they were written, read back."""

import json
import re
from pathlib import Path
from typing import Any

PAYLOAD = re.compile(r'<script type="application/json" id="payload">(.*?)</script>', re.DOTALL)


def payload_in(path: Path) -> dict[str, Any]:
    """Return the payload of a report's page, of which there is one."""
    (found,) = PAYLOAD.findall(path.read_text(encoding="utf-8"))
    payload: dict[str, Any] = json.loads(found)
    return payload
