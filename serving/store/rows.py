"""Writing many rows of a table in one statement, on either database."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import product
from typing import Any

from sqlalchemy import Connection, CursorResult, Table, bindparam, column, func, select
from sqlalchemy.dialects import postgresql, sqlite

from serving.store.columns import Moment, in_utc

Row = Mapping[str, Any]
Insert = postgresql.Insert | sqlite.Insert


def insert_rows(
    connection: Connection, table: Table, rows: Sequence[Row], finish: Callable[[Insert], Any] | None = None
) -> CursorResult[Any]:
    """Write rows.

    Args:
        connection: in a transaction.
        table: where to.
        rows: at least one, all with the same columns, none of them an array; other columns have their default.
        finish: adds to the statement, what is to happen to a row that is there, or what is to be given back. A function
            of a module, for statements are kept.
    """
    names = tuple(rows[0])
    if connection.dialect.name != "postgresql":
        return connection.execute(_on_sqlite(table, finish), rows)
    moments = [name for name in names if isinstance(table.c[name].type, Moment)]
    for row, moment in product(rows, moments):
        if row[moment] is not None:
            in_utc(row[moment])  # in a document no type looks at it
    return connection.execute(_on_postgresql(table, names, finish), {"rows": rows})


@cache
def _on_sqlite(table: Table, finish: Callable[[Insert], Any] | None) -> Any:
    statement = sqlite.insert(table)
    return finish(statement) if finish else statement


@cache
def _on_postgresql(table: Table, names: tuple[str, ...], finish: Callable[[Insert], Any] | None) -> Any:
    # the driver sends rows one by one, and escapes arrays slowly; as one document they are written and read at once
    columns = [column(name, table.c[name].type) for name in names]
    document = func.jsonb_to_recordset(bindparam("rows", type_=postgresql.JSONB))
    given = document.table_valued(*columns, name="given").render_derived(with_types=True)
    statement = postgresql.insert(table).from_select(names, select(*given.c))
    return finish(statement) if finish else statement
