"""What is asked all the time is answered by an index, before the database has counted anything; no table is scanned."""

import re
from datetime import timedelta

from rules_support import rules_of
from sqlalchemy import event
from store_support import NOON, accepted, entry, predicted, worker

from serving.delivery.channels import Outcome
from serving.delivery.digests import close_due
from serving.delivery.overdue import remind
from serving.intake import take
from serving.life import Act, act
from serving.similar import Similar
from serving.store.groups import add_to_group, make_group
from serving.store.record import get
from serving.store.schema import open_store

RULES = """
version = 1
default = { team = "support" }
teams.support.title = "Support"
[[rules]]
name = "many"
when.similar = { min = 3 }
then = { team = "support", urgency = "high" }
"""
#: Few rows by nature, or a walk along an index that ends where nothing more is due.
SMALL = {"digests", "groups", "channel_states", "anon_1", "digest_items"}


class Silent:
    def send(self, message):
        return Outcome(True)


def test_no_everyday_statement_reads_a_whole_table(tmp_path, schema):
    engine = open_store(f"sqlite:///{tmp_path / 'feedback.db'}")
    said: dict[str, tuple] = {}

    @event.listens_for(engine, "before_cursor_execute")
    def _listen(connection, cursor, statement, parameters, context, many):
        if statement.split()[0] in ("SELECT", "UPDATE", "DELETE"):
            said[statement] = parameters[0] if many else parameters

    rules, similar = rules_of(RULES), Similar(engine)
    records = [{"text": f"The lid is cracked, {n}", "external_id": str(n), "product": "kettle"} for n in range(8)]
    for _ in range(2):  # new, and known
        taken = take(engine, records, lambda items: [predicted("other")] * len(items), rules, similar, NOON)
    accepted(engine, [entry("a", deliver="now", due_at=NOON, team="support")], {"support": ["inbox"]})
    item = taken[0].id
    worker(engine, {"inbox": Silent()}).drain()
    remind(engine, rules, NOON + timedelta(hours=1))
    close_due(engine, rules, NOON + timedelta(days=2))
    get(engine, item)
    add_to_group(engine, make_group(engine, "lids", "ana", NOON), [item], "ana", NOON)
    for kind in ("acknowledged", "resolved", "reopened"):
        act(engine, item, Act(kind=kind, actor="ana"), rules, schema, NOON)
    act(engine, item, Act(kind="corrected", actor="ana", labels={"category": ["other"]}), rules, schema, NOON)
    statements = dict(said)
    assert len(statements) > 30
    scans = {}
    with engine.connect() as connection:
        for statement, parameters in statements.items():
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            read = [row[3] for row in plan if re.match(r"SCAN (?!\d|CONSTANT|\(subquery)", row[3])]
            found = [one for one in read if one.split()[1] not in SMALL and "USING" not in one]
            if found:
                scans[statement] = found
    engine.dispose()
    assert not scans
