"""What alembic runs: the migrations, on the connection that it is given."""

from alembic import context

from serving.store.columns import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter most of a table
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
