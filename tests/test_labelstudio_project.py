"""Projects made from the label schema in a real Label Studio, and the commands for it."""

import re
import sqlite3
from contextlib import closing

import pytest
from labelstudio_support import environment_of, new_project
from support import ROOT, STARTER, free_port
from typer.testing import CliRunner

from feedback import app
from labeling.studio.client import LabelStudioError
from labeling.studio.interface import labeling_interface
from labeling.studio.project import set_up_project
from labeling.studio.server import find_binary
from models.errors import ConfigError
from models.labels import LabelSchema

DEFECT = [{"from_name": "category", "to_name": "text", "type": "choices", "value": {"choices": ["product/defect"]}}]


def without_defects(schema: LabelSchema) -> LabelSchema:
    fields = schema.model_dump()
    category = fields["tasks"]["category"]
    category["labels"] = [label for label in category["labels"] if label["key"] != "product/defect"]
    return LabelSchema.model_validate(fields)


def test_the_command_makes_a_project_once(studio, studio_client, schema):
    arguments = ["label", "project", "--title", "Made by a command", "--annotators", "2"]
    said = []
    for _ in range(2):
        done = CliRunner().invoke(app, arguments, env=environment_of(studio), catch_exceptions=False)
        said.append(done.output)
    found = [one for one in studio_client.projects.list() if one.title == "Made by a command"]
    assert len(found) == 1
    project = studio_client.projects.get(id=found[0].id)
    studio_client.projects.delete(id=project.id)
    assert "was made" in said[0]
    assert "is as it should be" in said[1]
    assert f"next: feedback label push --project {project.id}" in said[1]
    assert project.label_config.strip() == labeling_interface(schema).strip()
    assert (project.sampling, project.show_collab_predictions) == ("Sequential sampling", True)
    assert project.maximum_annotations == 2


def test_a_project_is_brought_up_to_a_schema(studio_client, schema):
    small = without_defects(schema)
    with new_project(studio_client, small, show_collab_predictions=False) as project:
        assert set_up_project(studio_client, schema, project=project.id).done == "changed"
        assert set_up_project(studio_client, schema, project=project.id).done == ""
        found = studio_client.projects.get(id=project.id)
    assert 'alias="product/defect"' in found.label_config
    assert found.show_collab_predictions is True


def test_labels_that_somebody_gave_are_not_taken_away(studio_client, schema):
    with new_project(studio_client, schema) as project:
        task = studio_client.tasks.create(project=project.id, data={"text": "It broke"})
        studio_client.annotations.create(id=task.id, result=DEFECT)
        message = rf"project {project.id}: .*product/defect \(1 annotation\).*Nothing was changed. Keep these labels"
        with pytest.raises(LabelStudioError, match=message):
            set_up_project(studio_client, without_defects(schema), project=project.id)
        assert 'alias="product/defect"' in studio_client.projects.get(id=project.id).label_config


def test_two_projects_of_one_title_are_not_guessed_between(studio_client, schema):
    two = new_project(studio_client, schema, title="twice"), new_project(studio_client, schema, title="twice")
    message = r"expected one project called 'twice', found 2; choose with --project: \d+, \d+"
    with two[0], two[1], pytest.raises(ConfigError, match=message):
        set_up_project(studio_client, schema, title="twice")


def test_a_studio_of_ones_own_has_a_project_with_samples_once(tmp_path):
    arguments = ["label", "studio", "--folder", str(tmp_path / "data"), "--samples", str(STARTER / "samples.jsonl")]
    environment = {"LABEL_STUDIO_BIN": str(find_binary(ROOT))}
    for _ in range(2):
        port = free_port()
        once = [*arguments, "--port", str(port), "--once"]
        done = CliRunner().invoke(app, once, env=environment, catch_exceptions=False)
        assert f"http://127.0.0.1:{port}/projects/1/data" in done.output
    assert re.search(r"export LABEL_STUDIO_URL=\S+ LABEL_STUDIO_API_KEY=[0-9a-f]{40}", done.output)
    with closing(sqlite3.connect(tmp_path / "data/label_studio.sqlite3")) as database:
        ((tasks,),) = database.execute("SELECT count(*) FROM task").fetchall()
    assert tasks == 6
