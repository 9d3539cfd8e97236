"""Clients that do not give up: each list is posted until it is answered, and what was answered is written down."""

import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections import Counter

from support import STARTER, read_jsonl

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Clients:
    """Post lists until each is answered; new ones as long as they are allowed, else known ones once more."""

    def __init__(self, url: str, seed: int, count: int = 3) -> None:
        self.acknowledged: dict[str, str] = {}
        self.lists: dict[str, int] = {}
        self.faults: list[str] = []
        self.answers: Counter[str] = Counter()
        self.allowed = 0
        self._url, self._chance = url, random.Random(seed)
        self._texts = [row["text"] for row in read_jsonl(STARTER / "train.jsonl")]
        self._sent: list[list[dict]] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    @property
    def posted(self) -> int:
        return len(self.lists)

    def finish(self) -> None:
        """Return when all that was begun is answered."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _next(self) -> tuple[list[dict], bool]:
        with self._lock:
            if self.posted >= self.allowed and self._sent:
                return self._chance.choice(self._sent), False
            number, first = len(self._sent), self.posted
            rows = [
                {
                    "text": self._chance.choice(self._texts),
                    "source": "kills",
                    "external_id": f"k{first + place}",
                    "rating": self._chance.randint(1, 5),
                }
                for place in range(self._chance.randint(1, 64))
            ]
            self.lists |= {row["external_id"]: number for row in rows}
            self._sent.append(rows)
            return rows, True

    def _work(self) -> None:
        while not self._stop.is_set():
            rows, fresh = self._next()
            while (results := self._post(rows)) is None:
                time.sleep(0.2)
            with self._lock:
                for row, result in zip(rows, results, strict=True):
                    name, status, identity = row["external_id"], result["status"], result["id"]
                    self.answers[status] += 1
                    if status not in ("stored", "duplicate"):
                        self.faults.append(f"{name} was answered {status}: {result['error']}")
                    elif self.acknowledged.setdefault(name, identity) != identity:
                        self.faults.append(f"{name} was acknowledged as {self.acknowledged[name]} and as {identity}")
            time.sleep(0.05 if fresh else 0.5)

    def _post(self, rows: list[dict]) -> list[dict] | None:
        body = json.dumps(rows).encode()
        request = urllib.request.Request(f"{self._url}/feedback", body, {"Content-Type": "application/json"})
        try:
            with _OPENER.open(request, timeout=12) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            self.answers[str(error.code)] += 1
            if error.code not in (429, 503, 504):
                self.faults.append(f"answered {error.code}: {error.read(300)!r}")
        except (OSError, ValueError, EOFError) as error:  # killed before it answered, or while it did
            self.answers[type(error).__name__] += 1
        except Exception as error:  # noqa: BLE001  (http.client's own errors: the answer was cut off)
            self.answers[type(error).__name__] += 1
        return None
