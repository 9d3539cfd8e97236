"""The Label Studio side: server, client, project, interface and tasks."""
